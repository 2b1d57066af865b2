//! TLS to a service, with the key of its certificate pinned.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use engine::net::web::certificate::pin_of;
use engine::proto::keys::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

/// A connection to a service.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Connects to `address` from `from` where given, trusts the key `pin` alone, and waits at most `patience` for each read.
///
/// # Errors
/// Nobody is there, it shows another key, or does not speak `version`.
pub fn connect(
    address: SocketAddr,
    from: Option<SocketAddr>,
    pin: Digest,
    version: &'static SupportedProtocolVersion,
    patience: Duration,
) -> io::Result<Tls> {
    let tcp = match from {
        None => TcpStream::connect(address)?,
        Some(from) => {
            let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
            socket.bind(&from.into())?;
            socket.connect(&address.into())?;
            socket.into()
        }
    };
    secure(tcp, pin, version, patience)
}

/// The same on a connection that stands, on which a balancer may have said for whom it is.
///
/// # Errors
/// As [`connect`].
pub fn secure(
    tcp: TcpStream,
    pin: Digest,
    version: &'static SupportedProtocolVersion,
    patience: Duration,
) -> io::Result<Tls> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(patience))?;
    tcp.set_write_timeout(Some(patience))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let other = |error: Error| io::Error::other(error);
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .map_err(other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let tls = ClientConnection::new(Arc::new(config), name).map_err(other)?;
    let mut stream = StreamOwned::new(tls, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends `bytes` and reads until the other side closes or nothing more comes.
///
/// # Errors
/// The connection breaks before anything came.
pub fn exchange(stream: &mut Tls, bytes: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(bytes)?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) if answer.is_empty() && error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            Err(_) => return Ok(answer),
        }
    }
}

#[derive(Debug)]
struct Pinned {
    pin: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match pin_of(end_entity) {
            Some(pin) if pin == self.pin => Ok(ServerCertVerified::assertion()),
            _ => Err(Error::General("the service shows another key".into())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
