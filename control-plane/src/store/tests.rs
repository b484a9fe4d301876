//! What holds of all statements and of both schemas.

mod plan;
mod schema;
mod views;
