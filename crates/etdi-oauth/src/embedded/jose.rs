//! JWTs that clients sign, and our own: the algorithm is that of the key, never what a header says.

use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::key::{Algorithm, AllowList, SigningKey, VerifyingKey};
use etdi_core::time::UnixTime;

use super::seal::{decode, encode};
use super::server::ServerError;

/// A compact JWS that was taken apart and not verified.
pub(super) struct Jwt<'a> {
    header: String,
    payload: String,
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
}

const LONGEST: usize = 16 << 10;

/// Header members that bring a key or say where to fetch one. `jwk` is where a DPoP proof has it.
const KEY_HEADERS: [&str; 3] = ["jku", "x5u", "x5c"];

impl<'a> Jwt<'a> {
    /// Takes a text apart. `types` are the values of `typ` that count; an empty one stands for none.
    pub(super) fn read(text: &'a str, types: &[&str]) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("it is too long");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("it has not three parts")?;
        let (header, payload) = signed.split_once('.').ok_or("it has not three parts")?;
        let text = |part| -> Result<String, &'static str> {
            let bytes = decode(part).ok_or("a part is not base64url")?;
            String::from_utf8(bytes).map_err(|_| "a part is not UTF-8")
        };
        let (header, payload) = (text(header)?, text(payload)?);
        let signature = decode(signature).ok_or("a part is not base64url")?;
        let read = parse(&header)?;
        let member = |name| read.root().get(name);
        let algorithm = member("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.ok_or("its algorithm does not count, use ES256 or EdDSA")?;
        if member("crit").is_some() {
            return Err("its header has `crit`");
        }
        if KEY_HEADERS.into_iter().any(|name| member(name).is_some()) {
            return Err("its header says where its key is");
        }
        let kind = member("typ").map_or(Some(""), Value::as_str).unwrap_or("\0");
        if !types.iter().any(|one| one.eq_ignore_ascii_case(kind)) {
            return Err("its `typ` is that of something else");
        }
        parse(&payload)?;
        Ok(Self { header, payload, signed, signature, algorithm })
    }

    /// A member of the header that is a text.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        parse(&self.header).ok()?.root().get(name)?.as_str().map(str::to_owned)
    }

    /// The key that the header brings, if it brings one.
    pub(super) fn own_key(&self) -> Option<Result<VerifyingKey, &'static str>> {
        let header = parse(&self.header).ok()?;
        let jwk = etdi_core::canonical::of(header.root().get("jwk")?);
        let key = VerifyingKey::from_jwk(&jwk);
        // An RSA key without `alg` has RS256; the other algorithm of its type is as good.
        let key = key.and_then(|key| match key.algorithm().is_rsa() && self.algorithm.is_rsa() {
            true => key.with_algorithm(self.algorithm),
            false => Ok(key),
        });
        Some(key.map_err(|_| "its key is no public key of a known type"))
    }

    /// Checks the signature, and gives what was signed.
    pub(super) fn verify(self, key: &VerifyingKey) -> Result<Claims, &'static str> {
        let permitted = AllowList::IDENTITY_PROVIDER.permits(key.algorithm());
        let fits = permitted && key.algorithm() == self.algorithm;
        match fits && key.verify(self.signed.as_bytes(), &self.signature) {
            true => Ok(Claims(self.payload)),
            false => Err("its signature is not one of the key"),
        }
    }
}

/// What was signed.
pub(super) struct Claims(String);

impl Claims {
    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        parse(&self.0).ok()?.root().get(name)?.as_str().map(str::to_owned)
    }

    /// A claim that is a time; `Err` when it is anything else.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<UnixTime>, &'static str> {
        let Ok(claims) = parse(&self.0) else { return Err("its claims cannot be read") };
        let Some(value) = claims.root().get(name) else { return Ok(None) };
        let seconds = value.as_number().map(|number| number.get());
        match seconds.filter(|seconds| (0.0..9e15).contains(seconds)) {
            Some(seconds) => Ok(Some(UnixTime(seconds as u64))),
            None => Err("one of its times is no number"),
        }
    }

    /// The one text of a claim that may be a list.
    pub(super) fn single(&self, name: &str) -> Option<String> {
        let claims = parse(&self.0).ok()?;
        let value = claims.root().get(name)?;
        let only = match value.as_array() {
            Some(mut list) if list.len() == 1 => list.next()?.as_str(),
            Some(_) => None,
            None => value.as_str(),
        };
        only.map(str::to_owned)
    }

    /// A text in an object.
    pub(super) fn within(&self, name: &str, inner: &str) -> Option<String> {
        parse(&self.0).ok()?.root().get(name)?.get(inner)?.as_str().map(str::to_owned)
    }
}

/// Signs an access token (RFC 9068).
pub(super) fn sign(claims: &str, key: &SigningKey) -> Result<String, ServerError> {
    let (algorithm, id) = (key.verifying_key().algorithm().name(), key.id());
    let header = format!(r#"{{"alg":"{algorithm}","kid":"{id}","typ":"at+jwt"}}"#);
    let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
    let signature = key.sign(signed.as_bytes()).map_err(|_| ServerError::Random)?;
    Ok(format!("{signed}.{}", encode(&signature)))
}

fn parse(text: &str) -> Result<Document<'_>, &'static str> {
    let document = Document::parse(text, Limits::STATEMENT).map_err(|_| "it is not strict JSON")?;
    if document.root().is_object() { Ok(document) } else { Err("a part is no object") }
}
