//! What a command works with: the options of every command, where it prints, and which node it asks.

use crate::arguments::Global;
use crate::choice::{self, Purpose};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;

/// What a command works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) global: &'a Global,
    pub(crate) output: Output,
}

impl Context<'_> {
    /// The node to ask, for a command that changes nothing.
    pub(crate) fn reader(&self, operation: &str) -> Result<Client, Failure> {
        Ok(choice::client(self.global, self.output, operation, Purpose::Read)?)
    }

    /// The node to ask next, for a command that changes nothing and that the nodes before refused.
    pub(crate) fn next_reader(&self, operation: &str, refused: &[String]) -> Result<Client, Failure> {
        Ok(choice::next_client(self.global, self.output, operation, Purpose::Read, refused)?)
    }

    /// The node to ask, for a command that acts for its account or shows what is that one's own.
    pub(crate) fn actor(&self, operation: &str) -> Result<Client, Failure> {
        Ok(choice::client(self.global, self.output, operation, Purpose::Act)?)
    }
}
