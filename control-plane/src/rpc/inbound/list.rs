//! Finding inbound requests: by source, verdict, type, provider's id and time, page by page.

use posthorn::v1;

use super::{Inbounds, view::summary_proto};
use crate::{
    error::Error,
    model::{
        event_type::EventTypeName,
        id::{InboundId, SourceId, uuid_floor},
        inbound::Verdict,
    },
    rpc::{
        Caller, Page, QueryFingerprint,
        convert::{any_or, id},
        new_event,
        time_range::TimeRange,
    },
    store::InboundFilter,
};

impl Inbounds {
    pub(super) async fn list(
        &self,
        caller: &Caller,
        request: v1::ListInboundRequestsRequest,
    ) -> Result<v1::ListInboundRequestsResponse, Error> {
        let tenant = self.tenant(caller, &request.tenant_id)?;
        let range = TimeRange::parse(
            ("received_from", request.received_from.as_ref()),
            ("received_before", request.received_before.as_ref()),
        )?;
        let narrow = Narrow::parse(&request)?;
        let query = QueryFingerprint::new(
            "ListInboundRequests",
            &[
                tenant.tenant.id.uuid().as_bytes(),
                &range.fingerprint(),
                request.source_id.as_bytes(),
                &request.verdict.to_be_bytes(),
                request.event_type.as_bytes(),
                request.provider_event_id.as_bytes(),
                request.batch_id.as_bytes(),
            ],
        );
        let page = Page::parse(request.page_size, &request.page_token, query)?;
        let before = uuid_floor(range.before_ms);
        let filter = InboundFilter {
            shard: tenant.shard,
            tenant_id: tenant.tenant.id,
            source_id: narrow.source_id,
            verdict: narrow.verdict,
            event_type: narrow.event_type.as_ref().map(EventTypeName::as_str),
            provider_event_id: given(&request.provider_event_id),
            batch_id: narrow.batch_id,
            from: uuid_floor(range.from_ms),
            below: page.after_uuid()?.map_or(before, |after| before.min(after)),
            limit: page.rows_to_read(),
        };
        let scanned = self.core.store.inbound_list(&filter).await?;
        let (rows, next_page_token) = page.cut_scanned(scanned, |row| row.id.uuid());
        Ok(v1::ListInboundRequestsResponse {
            requests: rows.iter().map(summary_proto).collect(),
            next_page_token,
        })
    }
}

/// What a list is narrowed to besides time.
#[derive(Debug, PartialEq, Eq)]
struct Narrow {
    source_id: Option<SourceId>,
    verdict: Option<Verdict>,
    event_type: Option<EventTypeName>,
    batch_id: Option<InboundId>,
}

impl Narrow {
    fn parse(request: &v1::ListInboundRequestsRequest) -> Result<Self, Error> {
        let source_id = given(&request.source_id)
            .map(|text| id("source_id", text))
            .transpose()?;
        let provider_event_id = given(&request.provider_event_id);
        if provider_event_id.is_some_and(|id| id.contains('\0')) {
            return Err(Error::invalid("provider_event_id", "must not hold NUL"));
        }
        if provider_event_id.is_some() && source_id.is_none() {
            let rule = "needs `source_id`: each provider gives its own ids";
            return Err(Error::invalid("provider_event_id", rule));
        }
        Ok(Self {
            source_id,
            verdict: any_or::<v1::Verdict, _>("verdict", request.verdict)?,
            event_type: given(&request.event_type)
                .map(new_event::event_type)
                .transpose()?,
            batch_id: given(&request.batch_id)
                .map(|text| id("batch_id", text))
                .transpose()?,
        })
    }
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "src_01h455vb4pex5vsknk084sn02q";

    type Change = fn(&mut v1::ListInboundRequestsRequest);

    fn field(request: &v1::ListInboundRequestsRequest) -> Option<String> {
        match Narrow::parse(request) {
            Err(Error::Invalid(violations)) => Some(violations[0].field.clone()),
            Err(error) => panic!("{error:?}"),
            Ok(_) => None,
        }
    }

    #[test]
    fn every_filter_is_checked() {
        let all = v1::ListInboundRequestsRequest {
            source_id: SOURCE.to_owned(),
            verdict: v1::Verdict::Conflict.into(),
            event_type: "stripe.charge.succeeded".to_owned(),
            provider_event_id: "evt_1".to_owned(),
            ..v1::ListInboundRequestsRequest::default()
        };
        assert_eq!(field(&all), None);
        assert_eq!(field(&v1::ListInboundRequestsRequest::default()), None);
        let changes: [(&str, Change); 8] = [
            ("source_id", |request| request.source_id.push('x')),
            ("verdict", |request| request.verdict = 6),
            ("verdict", |request| request.verdict = -1),
            ("verdict", |request| request.verdict = 65_537),
            ("event_type", |request| request.event_type.push(' ')),
            ("batch_id", |request| request.batch_id.push('x')),
            ("provider_event_id", |request| request.source_id.clear()),
            ("provider_event_id", |request| {
                request.provider_event_id.push('\0');
            }),
        ];
        for (name, change) in changes {
            let mut request = all.clone();
            change(&mut request);
            assert_eq!(field(&request).as_deref(), Some(name), "{request:?}");
        }
    }
}
