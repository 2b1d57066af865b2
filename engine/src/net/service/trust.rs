//! Whose key a service has to show, before anything is said to it.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use crate::base::error::{Error, Kind, Result};
use crate::net::web::certificate::pin_of;
use crate::proto::keys::Digest;

/// What makes a service the one that is meant. Cheap to clone.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Trust {
    /// The service at `host`, recognised by its key where `pin` says which, else by the authorities that this system trusts.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the host is no name, or the system has no authorities; a line for the person.
    pub fn new(host: &str, pin: Option<Digest>) -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match pin {
            Some(pin) => Arc::new(Pinned { pin, provider: provider.clone() }),
            None => authorities(&provider)?,
        };
        let refused = |error: TlsError| Error::new(Kind::Refused, format!("TLS cannot be used here: {error}"));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.enable_early_data = false;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::new(Kind::Refused, format!("{host} is no name of a service")))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// A connection that has said nothing yet.
    ///
    /// # Errors
    /// [`Kind::Retry`]: the system gives no randomness.
    pub fn connection(&self) -> Result<ClientConnection> {
        let failed = |error: TlsError| Error::new(Kind::Retry, format!("no TLS connection can be made: {error}"));
        ClientConnection::new(self.config.clone(), self.name.clone()).map_err(failed)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({:?})", self.name)
    }
}

/// Whether a handshake failed because another's key was shown, which no second try heals.
pub fn is_wrong_key(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    matches!(inner, Some(TlsError::InvalidCertificate(_)))
}

fn authorities(provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let mut roots = RootCertStore::empty();
    // Those that cannot be read are passed over: one that is needed and missing is refused as unknown.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let none = || {
        let text = "this system has no certificates of authorities: install ca-certificates, or use a link with a pin";
        Error::new(Kind::Refused, text)
    };
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    built.map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|_| none())
}

/// One key alone is good, whatever certificate it stands in (RFC 7469 §2.6 without the authorities).
#[derive(Debug)]
struct Pinned {
    pin: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match pin_of(end_entity) {
            Some(pin) if pin == self.pin => Ok(ServerCertVerified::assertion()),
            _ => Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConnection;

    use super::*;
    use crate::net::web::certificate::{Pem, ServiceTls};

    /// The handshake in memory: whether the client is content.
    fn meets(trust: &Trust, tls: &ServiceTls) -> Result<(), TlsError> {
        let mut client = trust.connection().expect("a connection");
        let mut server = ServerConnection::new(tls.config()).expect("a connection");
        for _ in 0..4 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("memory");
            }
            server.read_tls(&mut bytes.as_slice()).expect("memory");
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).expect("memory");
            }
            client.read_tls(&mut bytes.as_slice()).expect("memory");
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking());
        Ok(())
    }

    #[test]
    fn a_pinned_key_is_good_and_another_one_of_the_same_name_is_not() {
        let made = || ServiceTls::new(&Pem::self_signed(vec!["localhost".into()]).expect("made")).expect("usable");
        let (one, other) = (made(), made());
        let trust = Trust::new("localhost", Some(one.pin())).expect("a name");
        assert!(meets(&trust, &one).is_ok());
        let error = meets(&trust, &other).expect_err("another key");
        assert!(is_wrong_key(&std::io::Error::new(std::io::ErrorKind::InvalidData, error)));
    }

    #[test]
    fn without_a_pin_a_certificate_that_signs_itself_is_refused() {
        let Ok(trust) = Trust::new("localhost", None) else {
            return; // A system without authorities refuses everybody, which is shown by the error.
        };
        let own = ServiceTls::new(&Pem::self_signed(vec!["localhost".into()]).expect("made")).expect("usable");
        assert!(matches!(meets(&trust, &own), Err(TlsError::InvalidCertificate(_))));
    }
}
