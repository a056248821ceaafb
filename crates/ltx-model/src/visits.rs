//! Blocks whose weights are on the host come to the device for as long as they are used.

use std::{borrow::Cow, thread::JoinHandle};

use burn::tensor::Device;

use crate::Block;

/// The blocks of a transformer in the order in which they are asked for, on its device.
///
/// While a block works, the one that will be asked for next is on its way: two visitors are on the device at most.
#[derive(Debug)]
pub struct Visits<'a> {
    blocks: &'a [Block],
    hosted: usize,
    device: &'a Device,
    coming: Option<Coming>,
}

/// A block on its way, brought by a thread of its own, so that neither the caller nor its stream of work waits.
#[derive(Debug)]
struct Coming {
    index: usize,
    block: JoinHandle<Block>,
}

impl<'a> Visits<'a> {
    /// The first `hosted` of `blocks` are on the host.
    pub(crate) fn new(blocks: &'a [Block], hosted: usize, device: &'a Device) -> Self {
        Self { blocks, hosted, device, coming: None }
    }

    /// Block `index`, when `next` will be asked for after it, if anything will. A block that lives on the device is
    /// lent; a visitor is gone when what is returned is dropped.
    ///
    /// # Panics
    /// If there is no block `index`.
    pub fn block(&mut self, index: usize, next: Option<usize>) -> Cow<'a, Block> {
        let block = if index < self.hosted {
            Cow::Owned(self.arrived(index))
        } else {
            Cow::Borrowed(&self.blocks[index])
        };
        self.expect(next);
        block
    }

    /// Sends for block `next`, if it is on the host, so that it is there when it is asked for.
    pub fn expect(&mut self, next: Option<usize>) {
        let Some(index) = next.filter(|next| *next < self.hosted.min(self.blocks.len())) else { return };
        if self.coming.as_ref().is_some_and(|coming| coming.index == index) {
            return;
        }
        let (block, device) = (self.blocks[index].clone(), self.device.clone());
        self.coming = Some(Coming { index, block: std::thread::spawn(move || block.on(&device)) });
    }

    fn arrived(&mut self, index: usize) -> Block {
        let coming = self.coming.take().filter(|coming| coming.index == index);
        let arrived = coming.and_then(|coming| coming.block.join().ok());
        // Nobody was sent for it, or it did not get through: it is brought now.
        arrived.unwrap_or_else(|| self.blocks[index].on(self.device))
    }
}
