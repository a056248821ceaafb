//! How a pair of kernels becomes an operation of the gradient graph.

use std::{fmt::Debug, marker::PhantomData};

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, NodeGuard, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

/// What an operation keeps for its backward pass.
pub(crate) trait Kept<const N: usize, B: Backend>: Debug + Clone + Send + 'static {
    /// The gradients of the inputs that are `wanted`, given that of the result.
    fn backward(self, grad: FloatTensor<B>, wanted: [bool; N]) -> [Option<FloatTensor<B>>; N];
}

#[derive(Debug)]
struct Step<K>(PhantomData<K>);

impl<B: Backend, K: Kept<N, B>, const N: usize> Backward<B, N> for Step<K> {
    type State = K;

    fn backward(self, ops: Ops<K, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, grad) in ops.parents.into_iter().zip(ops.state.backward(grad, wanted)) {
            if let (Some(node), Some(grad)) = (parent, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

/// Puts `out` into the graph as the result of an operation on `inputs`; `kept` is let go if no gradient is wanted.
pub(crate) fn record<C: CheckpointStrategy, B: Backend, K: Kept<N, B>, const N: usize>(
    inputs: [NodeGuard; N],
    out: FloatTensor<B>,
    kept: K,
) -> FloatTensor<Autodiff<B, C>> {
    let step = Step::<K>(PhantomData);
    match <Step<K> as Backward<B, N>>::prepare::<C>(step, inputs).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(kept, out),
        OpsKind::UnTracked(prep) => prep.finish(out),
    }
}
