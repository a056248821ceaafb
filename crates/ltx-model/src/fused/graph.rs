//! How a pair of kernels becomes an operation of the gradient graph.

use std::{fmt::Debug, marker::PhantomData};

use burn::backend::{
    Autodiff, Flex,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, NodeGuard, Ops, OpsKind},
    },
    flex::FlexTensor,
    tensor::FloatTensor,
};

/// What an operation keeps for its backward pass.
pub(super) trait Kept<const N: usize>: Debug + Clone + Send + 'static {
    /// The gradients of the inputs that are `wanted`, given that of the result.
    fn backward(self, grad: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

#[derive(Debug)]
struct Step<K>(PhantomData<K>);

impl<K: Kept<N>, const N: usize> Backward<Flex, N> for Step<K> {
    type State = K;

    fn backward(self, ops: Ops<K, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        for (parent, grad) in ops.parents.into_iter().zip(ops.state.backward(grad, wanted)) {
            if let (Some(node), Some(grad)) = (parent, grad) {
                grads.register::<Flex>(node.id, grad);
            }
        }
    }
}

/// Puts `out` into the graph as the result of an operation on `inputs`; `kept` is let go if no gradient is wanted.
pub(super) fn record<C: CheckpointStrategy, K: Kept<N>, const N: usize>(
    inputs: [NodeGuard; N],
    out: FlexTensor,
    kept: K,
) -> FloatTensor<Autodiff<Flex, C>> {
    match Step::<K>(PhantomData).prepare::<C>(inputs).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(kept, out),
        OpsKind::UnTracked(prep) => prep.finish(out),
    }
}
