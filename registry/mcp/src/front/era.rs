//! Which era a request belongs to, and whether it keeps the rules of that era.
//!
//! The current revision says in every request who asks and in which version, and repeats in headers what
//! intermediaries route by; both must agree. Whatever does not say so is of an older revision, which has no such rules
//! but one: a version that is named in both places is the same in both. Else who routes by the headers and who reads
//! the body would see two different requests.

use http::{HeaderMap, HeaderName, StatusCode};

use super::reply::Refusal;
use super::request::{Meta, Params, Request, is_object};
use crate::headers::{self, METHOD, NAME, PROTOCOL_VERSION};
use crate::version::{CURRENT, has_handshake};

/// The two eras of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Stateless, since 2026-07-28.
    Current,
    /// With a handshake, until 2025-11-25.
    Older,
}

impl Era {
    /// The era of a request that came with `headers`; `params` are its parameters, if they can be read.
    ///
    /// # Errors
    /// When it is of the current era, or of none that we know, and breaks its rules.
    pub(super) fn of(
        headers: &HeaderMap,
        request: &Request<'_>,
        params: Option<&Params<'_>>,
    ) -> Result<Self, Refusal> {
        let meta = params.map(Params::meta).transpose();
        let named = named(headers)?;
        let inner = meta.as_ref().ok().and_then(|meta| meta.as_ref()?.version.as_deref());
        if let (Some(named), Some(inner)) = (named.as_deref(), inner)
            && named != inner
        {
            return Err(differs(&PROTOCOL_VERSION, named, inner));
        }
        let is_older = match (&*request.method, inner, named.as_deref()) {
            // Clients are known to ask `server/discover` first, and to open with a handshake all the same.
            ("initialize", None, _) => true,
            ("server/discover", _, _) => false,
            (_, Some(version), _) | (_, None, Some(version)) => has_handshake(version),
            (_, None, None) => true,
        };
        if is_older {
            return Ok(Self::Older);
        }
        check_version(named.as_deref())?;
        check_meta(&meta?.unwrap_or_default())?;
        check_routing(headers, request, params)?;
        Ok(Self::Current)
    }

    /// The status of the answer to a method that does not exist.
    pub(super) fn unknown_method(self) -> StatusCode {
        match self {
            Self::Current => StatusCode::NOT_FOUND,
            Self::Older => StatusCode::OK,
        }
    }
}

/// The revision that the headers name.
///
/// # Errors
/// When it cannot be read, or is named more than once.
pub(super) fn named(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    header(headers, &PROTOCOL_VERSION)
}

fn check_version(named: Option<&str>) -> Result<(), Refusal> {
    match named {
        None => Err(missing(&PROTOCOL_VERSION)),
        Some(CURRENT) => Ok(()),
        Some(named) => Err(Refusal::version(named)),
    }
}

fn check_meta(meta: &Meta<'_>) -> Result<(), Refusal> {
    let missing = |key| Err(Refusal::meta(format!("'_meta' must have 'io.modelcontextprotocol/{key}'")));
    match meta {
        Meta { version: None, .. } => missing("protocolVersion"),
        Meta { capabilities: None, .. } => missing("clientCapabilities"),
        Meta { capabilities: Some(capabilities), .. } if !is_object(capabilities) => {
            Err(Refusal::meta("'io.modelcontextprotocol/clientCapabilities' must be an object"))
        }
        Meta { .. } => Ok(()),
    }
}

/// The headers by which intermediaries route.
fn check_routing(
    headers: &HeaderMap,
    request: &Request<'_>,
    params: Option<&Params<'_>>,
) -> Result<(), Refusal> {
    agree(headers, &METHOD, &request.method)?;
    let subject = match &*request.method {
        "tools/call" | "prompts/get" => params.map(Params::name),
        "resources/read" => params.map(Params::uri),
        _ => None,
    };
    // What is no text agrees with no header: the method refuses it, if there is one.
    let subject = subject.and_then(Result::ok).flatten();
    subject.as_ref().map_or(Ok(()), |subject| agree(headers, &NAME, subject))
}

fn agree(headers: &HeaderMap, name: &HeaderName, inner: &str) -> Result<(), Refusal> {
    match header(headers, name)? {
        None => Err(missing(name)),
        Some(named) if named != inner => Err(differs(name, &named, inner)),
        Some(_) => Ok(()),
    }
}

/// The one value of a header, decoded.
fn header(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Refusal::mismatch(format!("Header mismatch: {name} is given more than once")))
        }
        (Some(value), None) => match headers::text(value) {
            Some(text) => Ok(Some(text)),
            None => Err(Refusal::mismatch(format!("Header mismatch: {name} cannot be read"))),
        },
    }
}

fn missing(name: &HeaderName) -> Refusal {
    Refusal::mismatch(format!("Header mismatch: {name} is missing"))
}

fn differs(name: &HeaderName, named: &str, inner: &str) -> Refusal {
    Refusal::mismatch(format!("Header mismatch: {name} is '{named}', the body says '{inner}'"))
}
