//! The public key of EventBridge.
//!
//! Its certificate (seen in 2021) is X.509 version 1, of 1024 bits, signed by itself with SHA-1: webpki refuses it, and there is no chain to
//! judge. Trust comes from where it was got, so only its key is read, and its dates are not looked at.
//!
//! Signature version 1 needs the bare RSA operation, which ring does not offer. `num-bigint` does it: it is in the tree already (x509-parser
//! reads numbers with it), while the `rsa` crate would bring a dozen more. Everything in it is public, so it need not be constant in time.

use num_bigint::BigUint;
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

/// Bits of a modulus, as ring takes them. Bounds what one operation costs.
const BITS: std::ops::RangeInclusive<u64> = 1024..=8192;
/// Bits of an exponent: 65537 at least, as everybody has it, for under 3 a wrapped secret can be made up; ring takes as many as 33.
const EXPONENT_BITS: std::ops::RangeInclusive<u64> = 17..=33;

/// What was read holds no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// No certificate in it.
    #[error("it holds no PEM certificate")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// Not RSA, or of a size that nobody has.
    #[error("its key is not an RSA key of 1024 to 8192 bits")]
    NotRsa,
}

/// An RSA public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `RSAPublicKey` (RFC 8017, A.1.1), DER.
    der: Vec<u8>,
    modulus: BigUint,
    exponent: BigUint,
}

impl Key {
    /// That of the first certificate in `pem`. Bound it before.
    ///
    /// # Errors
    /// If there is none that can be used.
    pub fn of_certificate(pem: &[u8]) -> Result<Self, NotAKey> {
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| NotAKey::NoCertificate)?;
        let (_, certificate) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| NotAKey::Unreadable)?;
        let key = certificate.public_key();
        let Ok(x509_parser::public_key::PublicKey::RSA(rsa)) = key.parsed() else { return Err(NotAKey::NotRsa) };
        let (modulus, exponent) = (BigUint::from_bytes_be(rsa.modulus), BigUint::from_bytes_be(rsa.exponent));
        let usable = BITS.contains(&modulus.bits()) && modulus.bit(0) && exponent.bit(0) && EXPONENT_BITS.contains(&exponent.bits());
        if !usable {
            return Err(NotAKey::NotRsa);
        }
        Ok(Self { der: key.subject_public_key.data.to_vec(), modulus, exponent })
    }

    /// RSA PKCS#1 v1.5 with SHA-256. The algorithm that takes 1024 bits: the certificate seen has so few.
    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &self.der).verify(text, signature).is_ok()
    }

    /// What the private key has wrapped: the public operation, and the padding of type 1 taken off (RFC 8017, section 9.2, without a
    /// digest): `00 01 FF.. 00 secret`, with eight FF at least.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let length = usize::try_from(self.modulus.bits().div_ceil(8)).ok()?;
        let number = BigUint::from_bytes_be(wrapped);
        if wrapped.len() != length || number >= self.modulus {
            return None;
        }
        let plain = Zeroizing::new(number.modpow(&self.exponent, &self.modulus).to_bytes_be());
        // The leading zero is not part of the number: what is left has one byte less than the modulus, or it does not begin with 01.
        let padded = plain.strip_prefix(&[1]).filter(|_| plain.len() + 1 == length)?;
        let end = padded.iter().position(|byte| *byte != 0xff).filter(|ones| *ones >= 8)?;
        match padded.get(end..)? {
            [0, secret @ ..] if !secret.is_empty() => Some(Zeroizing::new(secret.to_vec())),
            _ => None,
        }
    }
}
