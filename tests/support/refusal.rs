//! Reading a refused call: its code and the fields at fault.

use std::fmt::Debug;

use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// Why a call was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The gRPC code.
    pub(crate) code: Code,
    /// For people.
    pub(crate) message: String,
    /// The paths of `google.rpc.BadRequest`.
    pub(crate) fields: Vec<String>,
    /// The reason of `google.rpc.ErrorInfo`, if it has one.
    pub(crate) reason: String,
    /// Whether `google.rpc.RetryInfo` says when to come back.
    pub(crate) says_when_to_retry: bool,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| {
            let fields = bad.field_violations.iter();
            fields.map(|violation| violation.field.clone()).collect()
        });
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            fields: fields.unwrap_or_default(),
            reason: reason(&status),
            says_when_to_retry: details.retry_info().is_some(),
        }
    }
}

/// The reason of `google.rpc.ErrorInfo`. Empty: it has none.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().map(|info| info.reason.clone());
    info.unwrap_or_default()
}

/// The refusal of a call that must be refused. `what` names the case.
pub(crate) fn refusal<T: Debug>(what: &str, result: Result<Response<T>, Status>) -> Refusal {
    match result {
        Ok(answer) => panic!("{what}: accepted with {:?}", answer.into_inner()),
        Err(status) => status.into(),
    }
}

/// The call must be refused with this code.
#[track_caller]
pub(crate) fn assert_refused<T: Debug>(
    what: &str,
    result: Result<Response<T>, Status>,
    code: Code,
) -> Refusal {
    let refusal = refusal(what, result);
    assert_eq!(refusal.code, code, "{what}: {refusal:?}");
    assert!(!refusal.message.is_empty(), "{what}: {refusal:?}");
    refusal
}

/// The call must be refused because of this one field.
#[track_caller]
pub(crate) fn assert_invalid<T: Debug>(
    what: &str,
    result: Result<Response<T>, Status>,
    field: &str,
) {
    let refusal = assert_refused(what, result, Code::InvalidArgument);
    assert_eq!(refusal.fields, [field], "{what}: {refusal:?}");
}
