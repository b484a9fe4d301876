//! What this machine could do at most, measured in the same run: the same work without Posthorn.

mod answers;
mod commits;
mod posts;

pub(crate) use answers::BareServer;
pub(crate) use commits::commits;
pub(crate) use posts::{Posts, posts};
