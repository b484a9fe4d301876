//! What providers post: the edge takes it, and it is forwarded to the control plane, which answers.

pub(crate) mod edge;
pub(crate) mod forward;
