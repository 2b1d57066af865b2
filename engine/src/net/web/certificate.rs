//! The service's certificate: given by the operator, or made by itself and pinned by its clients.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use x509_parser::parse_x509_certificate;

use crate::base::error::{Error, Kind, Result};
use crate::proto::keys::Digest;

/// What a service shows its clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServiceTls {
    config: Arc<ServerConfig>,
    pin: Digest,
}

/// A certificate and its key, as PEM (RFC 7468).
#[derive(Clone)]
pub struct Pem {
    pub chain: Vec<u8>,
    pub key: Vec<u8>,
}

impl Pem {
    /// A certificate that signs itself, for `names`. ECDSA on P-256, which every browser knows.
    pub fn self_signed(names: Vec<String>) -> Result<Self> {
        let fail = |error: rcgen::Error| Error::new(Kind::Malformed, format!("no certificate can be made: {error}"));
        let pair = KeyPair::generate().map_err(fail)?;
        let certificate = CertificateParams::new(names).map_err(fail)?.self_signed(&pair).map_err(fail)?;
        Ok(Self { chain: certificate.pem().into_bytes(), key: pair.serialize_pem().into_bytes() })
    }
}

impl ServiceTls {
    /// [`Kind::Malformed`] says which of both is not usable.
    pub fn new(pem: &Pem) -> Result<Self> {
        let fail = |what: &str| Error::new(Kind::Malformed, format!("the TLS certificate is not usable: {what}"));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.chain).collect();
        let chain = chain.map_err(|error| fail(&error.to_string()))?;
        let leaf = chain.first().ok_or_else(|| fail("no certificate is in it"))?;
        let pin = pin_of(leaf).ok_or_else(|| fail("it is no X.509 certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| fail(&format!("its key: {error}")))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| fail(&error.to_string()))?;
        // RFC 7443 §3: the same doors lead to the relay.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"stun.turn".to_vec()];
        // A connection stays for hours; what a ticket would save is not worth its memory.
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), pin })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo: what links carry.
    pub const fn pin(&self) -> Digest {
        self.pin
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

/// SHA-256 of the SubjectPublicKeyInfo (RFC 5280 §4.1) of a certificate, as RFC 7469 pins it.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Option<Digest> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    Some(Digest::of(parsed.public_key().raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_serves_and_keeps_its_pin() {
        let pem = Pem::self_signed(vec!["localhost".into()]).expect("made");
        let (one, again) = (ServiceTls::new(&pem).expect("usable"), ServiceTls::new(&pem).expect("usable"));
        assert_eq!(one.pin(), again.pin());
        let other = Pem::self_signed(vec!["localhost".into()]).expect("made");
        assert_ne!(one.pin(), ServiceTls::new(&other).expect("usable").pin());
    }

    #[test]
    fn a_key_of_another_certificate_and_garbage_are_refused() {
        let (one, other) = (Pem::self_signed(vec![]).expect("made"), Pem::self_signed(vec![]).expect("made"));
        let mixed = Pem { chain: one.chain.clone(), key: other.key };
        for pem in [mixed, Pem { chain: b"x".to_vec(), ..one.clone() }, Pem { key: b"x".to_vec(), ..one }] {
            assert_eq!(ServiceTls::new(&pem).expect_err("not usable").kind, Kind::Malformed);
        }
    }
}
