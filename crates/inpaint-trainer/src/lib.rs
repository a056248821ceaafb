//! From a training request to a LoRA: the stages composed, with events, cancellation and the outcome.
