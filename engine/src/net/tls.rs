//! Mutual TLS 1.3 between two devices. Each shows a self-signed Ed25519 certificate of its device key; whose device
//! that is says the signalling, not a certificate authority.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName,
    Error as TlsError, ServerConfig, ServerConnection, SignatureScheme,
};
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::parse_x509_certificate;

use crate::base::error::{Error, Kind, Result};
use crate::proto::keys::{PublicKey, Signer};

/// This device's side of every TLS connection. Cheap to clone.
#[derive(Clone)]
pub struct TlsIdentity {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl TlsIdentity {
    /// A certificate from the device key. [`Kind::Malformed`] where the key is not usable: read the identity anew.
    pub fn new(device: &Signer) -> Result<Self> {
        let fail = |what: &dyn fmt::Display| {
            Error::new(Kind::Malformed, format!("the device key makes no TLS certificate: {what}"))
        };
        let der = PrivatePkcs8KeyDer::from(device.pkcs8().to_vec());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(|error| fail(&error))?;
        let certificate = CertificateParams::default().self_signed(&pair).map_err(|error| fail(&error))?.der().clone();
        let key = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(device.pkcs8().to_vec()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(AnyDevice);

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| fail(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_auth_cert(vec![certificate.clone()], key())
            .map_err(|error| fail(&error))?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.enable_sni = false;
        // A resumed session shows no certificate of its own, and a call opens one connection.
        client.resumption = Resumption::disabled();

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| fail(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key())
            .map_err(|error| fail(&error))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }

    /// The calling end of a connection.
    pub fn connect(&self) -> Result<Connection> {
        let name = ServerName::try_from("visavis.invalid").map_err(|_| Error::new(Kind::Malformed, "TLS name"))?;
        ClientConnection::new(self.client.clone(), name).map(Connection::Client).map_err(|error| unusable(&error))
    }

    /// The called end of a connection.
    pub fn accept(&self) -> Result<Connection> {
        ServerConnection::new(self.server.clone()).map(Connection::Server).map_err(|error| unusable(&error))
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity")
    }
}

/// The device key at the other end of a finished handshake. `None` before that, or where the other side speaks
/// another protocol. That a message's `from` is this device is for the caller to check.
pub fn peer_device(connection: &Connection) -> Option<PublicKey> {
    if connection.is_handshaking() || connection.alpn_protocol() != Some(ALPN) {
        return None;
    }
    device_key(connection.peer_certificates()?.first()?).ok()
}

const ALPN: &[u8] = b"visavis/1";

/// A device's certificate takes 300 bytes. What is longer was not made by this program.
const LARGEST_CERTIFICATE: usize = 4096;

/// Accepts any well-formed, self-signed Ed25519 certificate: possession of the key is what TLS shows here.
#[derive(Debug)]
struct AnyDevice;

impl ServerCertVerifier for AnyDevice {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        check_certificate(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
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
        check_handshake(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for AnyDevice {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        check_certificate(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
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
        check_handshake(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn check_certificate(end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), TlsError> {
    if !others.is_empty() {
        return Err(CertificateError::UnknownIssuer.into());
    }
    device_key(end_entity).map(|_| ())
}

/// RFC 8446 §4.4.3: the other side holds the key of the certificate it shows.
fn check_handshake(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, TlsError> {
    let key = device_key(certificate)?;
    if dss.scheme != SignatureScheme::ED25519 || key.verify_raw(message, dss.signature()).is_err() {
        return Err(CertificateError::BadSignature.into());
    }
    Ok(HandshakeSignatureValid::assertion())
}

/// The Ed25519 key of a self-signed certificate (RFC 8410 §4).
fn device_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, TlsError> {
    let bad = || TlsError::from(CertificateError::BadEncoding);
    if certificate.len() > LARGEST_CERTIFICATE {
        return Err(bad());
    }
    let (rest, parsed) = parse_x509_certificate(certificate).map_err(|_| bad())?;
    let info = parsed.public_key();
    let is_ed25519 = |oid| oid == &OID_SIG_ED25519;
    if !rest.is_empty() || !is_ed25519(&info.algorithm.algorithm) || !is_ed25519(&parsed.signature_algorithm.algorithm)
    {
        return Err(bad());
    }
    let key = PublicKey(info.subject_public_key.data.as_ref().try_into().map_err(|_| bad())?);
    key.verify_raw(parsed.tbs_certificate.as_ref(), &parsed.signature_value.data)
        .map_err(|_| TlsError::from(CertificateError::BadSignature))?;
    Ok(key)
}

fn unusable(error: &TlsError) -> Error {
    Error::new(Kind::Reopen, format!("TLS does not start: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Carries bytes between two ends until neither has any more.
    fn shake(one: &mut Connection, other: &mut Connection) -> Result<(), TlsError> {
        for _ in 0..16 {
            for turn in [true, false] {
                let (from, to) = if turn { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
                let mut bytes = Vec::new();
                while from.wants_write() {
                    from.write_tls(&mut bytes).expect("memory");
                }
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    to.read_tls(&mut rest).expect("memory");
                    to.process_new_packets()?;
                }
            }
        }
        Ok(())
    }

    #[test]
    fn both_ends_learn_the_device_key_of_the_other() {
        let (ada, bob) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
        let mut client = TlsIdentity::new(&ada).expect("identity").connect().expect("client");
        let mut server = TlsIdentity::new(&bob).expect("identity").accept().expect("server");
        assert_eq!(peer_device(&client), None);
        shake(&mut client, &mut server).expect("handshake");
        assert_eq!(peer_device(&client), Some(bob.public()));
        assert_eq!(peer_device(&server), Some(ada.public()));
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    }

    #[test]
    fn a_client_without_a_certificate_or_with_a_foreign_key_kind_is_turned_away() {
        let (ada, bob) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
        let server = TlsIdentity::new(&bob).expect("identity");
        let mut identity = TlsIdentity::new(&ada).expect("identity");

        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .expect("versions")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyDevice))
        };
        let pair = KeyPair::generate().expect("P-256");
        let certificate = CertificateParams::default().self_signed(&pair).expect("certificate").der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let foreign = builder().with_client_auth_cert(vec![certificate], key).expect("certificate");
        for mut config in [builder().with_no_client_auth(), foreign] {
            config.alpn_protocols = vec![ALPN.to_vec()];
            identity.client = Arc::new(config);
            let (mut client, mut server) = (identity.connect().expect("client"), server.accept().expect("server"));
            assert!(shake(&mut client, &mut server).is_err());
            assert_eq!(peer_device(&server), None);
        }
    }

    #[test]
    fn a_certificate_signed_with_another_key_or_cut_short_is_refused() {
        let pair = KeyPair::generate_for(&PKCS_ED25519).expect("key");
        let good = CertificateParams::default().self_signed(&pair).expect("certificate").der().to_vec();
        assert!(device_key(&good.clone().into()).is_ok());
        let mut bent = good.clone();
        *bent.last_mut().expect("signature") ^= 1;
        assert!(device_key(&bent.into()).is_err());
        for length in [0, 1, good.len() / 2, good.len() - 1] {
            assert!(device_key(&good[..length].to_vec().into()).is_err());
        }
    }
}
