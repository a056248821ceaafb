//! Attention that never stores `T x S` scores, behind one function.
//!
//! The forward pass keeps what it was given, its result, and the logarithm of every softmax's denominator; the
//! backward pass computes the scores once more, some queries at a time.

pub(crate) mod chunked;
#[cfg(test)]
mod tests;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::{Device, Tensor, module, ops::AttentionModuleOptions},
};

use crate::cpu::{
    self,
    attention::{Heads, Inputs, Upstream},
    tensor::{all_plain, dims, heads_of_tokens, on_cpu, tensor, values},
};

/// `softmax(q k^T scale + bias) v`, without a causal mask.
///
/// `q` `[B, H, T, d]`, `k` and `v` `[B, H, S, d]`, `bias` broadcastable to `[B, H, T, S]`; `scale` defaults to
/// `1 / sqrt(d)`. Returns `[B, H, T, d]`. The bias gets no gradient.
pub(crate) fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    bias: Option<Tensor<4>>,
    scale: Option<f64>,
) -> Tensor<4> {
    if !has_kernels(&q.device()) {
        let options = AttentionModuleOptions { scale, softcap: None, is_causal: false };
        return module::attention(q, k, v, None, bias, options);
    }
    let scale = scale.unwrap_or_else(|| 1.0 / (q.dims()[3] as f64).sqrt());
    let bias = bias.unwrap_or_else(|| Tensor::zeros([1; 4], &q.device().inner()));
    let [q, k, v, bias] = [q, k, v, bias].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::lean_attention(q, k, v, bias, scale))
}

fn has_kernels(device: &Device) -> bool {
    #[cfg(feature = "cuda")]
    if crate::cuda::on_gpu(device) {
        return true;
    }
    on_cpu(device)
}

/// `[B, T, H d]` to `[B, H, T, d]`.
pub(crate) fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
}

/// `[B, H, T, d]` to `[B, T, H d]`.
pub(crate) fn merge_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, tokens, width] = x.dims();
    x.swap_dims(1, 2).reshape([batch, tokens, heads * width])
}

/// Attention as one operation of the gradient graph.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "cuda"))]
pub(crate) trait LeanAttention: Backend {
    /// As [`attention`]; a bias of length 1 along the keys changes nothing.
    fn lean_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self>;
}

/// The two passes of attention. A backend without kernels of its own takes the ones composed of its operations.
pub(crate) trait AttentionKernel: Backend {
    /// The result `[B, H, T, d]`, and the logarithm of every softmax's denominator in a layout of the backend's own.
    fn attend(given: &Given<Self>) -> Attended<Self> {
        chunked::attend(given)
    }

    /// The gradients of q, k and v, given that of the result.
    fn attend_backward(
        given: Given<Self>,
        attended: Attended<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        chunked::attend_backward(&given, &attended, &grad)
    }

    /// The matrix product of every head: `a` `[B, H, m, n]`, `b` `[B, H, n, p]`.
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }
}

/// What attention was given.
#[derive(Debug, Clone)]
pub(crate) struct Given<B: Backend> {
    pub(crate) q: FloatTensor<B>,
    pub(crate) k: FloatTensor<B>,
    pub(crate) v: FloatTensor<B>,
    pub(crate) bias: FloatTensor<B>,
    pub(crate) scale: f64,
}

/// What attention gave.
#[derive(Debug, Clone)]
pub(crate) struct Attended<B: Backend> {
    pub(crate) out: FloatTensor<B>,
    pub(crate) logs: FloatTensor<B>,
}

impl LeanAttention for Flex {
    fn lean_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        Self::attend(&Given { q, k, v, bias, scale }).out
    }
}

impl AttentionKernel for Flex {
    fn attend(given: &Given<Self>) -> Attended<Self> {
        if !given.fits_kernel() {
            return chunked::attend(given);
        }
        let shape @ [batch, heads, tokens, _] = dims(&given.q);
        let (out, logs) = cpu::attention::forward(&given.inputs());
        Attended { out: heads_of_tokens(out, shape), logs: tensor(logs, [batch, heads, tokens]) }
    }

    fn attend_backward(
        given: Given<Self>,
        attended: Attended<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        if !given.fits_kernel() {
            return chunked::attend_backward(&given, &attended, &grad);
        }
        let grad = if grad.layout().has_positive_strides() { grad } else { grad.to_contiguous() };
        let upstream =
            Upstream { out: Heads::of(&attended.out), logs: values(&attended.logs), grad: Heads::of(&grad) };
        let [dq, dk, dv] = cpu::attention::backward(&given.inputs(), &upstream);
        let (of_q, of_k) = (dims(&given.q), dims(&given.k));
        [(dq, of_q), (dk, of_k), (dv, of_k)].map(|(grad, shape)| heads_of_tokens(grad, shape))
    }
}

impl Given<Flex> {
    fn fits_kernel(&self) -> bool {
        all_plain(&[&self.q, &self.k, &self.v, &self.bias])
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            q: Heads::of(&self.q),
            k: Heads::of(&self.k),
            v: Heads::of(&self.v),
            bias: Heads::of(&self.bias),
            scale: self.scale as f32,
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct Recompute;

impl<B: AttentionKernel> Backward<B, 3> for Recompute {
    type State = (Given<B>, Attended<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (given, attended) = ops.state;
        let of_inputs = B::attend_backward(given, attended, grad);
        for (parent, grad) in ops.parents.into_iter().zip(of_inputs) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

impl<B: LeanAttention + AttentionKernel, C: CheckpointStrategy> LeanAttention for Autodiff<B, C> {
    fn lean_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        let ((q, of_q), (k, of_k), (v, of_v)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let given = Given { q, k, v, bias: bias.into_primitive(), scale };
        let attended = B::attend(&given);
        match Recompute.prepare::<C>([of_q, of_k, of_v]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((given, attended.clone()), attended.out),
            OpsKind::UnTracked(prep) => prep.finish(attended.out),
        }
    }
}
