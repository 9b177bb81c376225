# Tokens made by PyJWT, one JSON object a line: kind of key (secret, pem, jwks), key, token, the verdict that is expected. For PyJWTTests.swift.
import datetime
import json

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://issuer.example", "sub": "Ä \"quoted\" \U0001f600\n", "aud": ["billing", "orders"], "exp": NOW + 600, "nbf": NOW - 600, "iat": NOW - 600,
    "roles": ["a", "b"], "nested": {"x": [1, 2.5, None, True]},
}


def changed(**changes):
    claims = dict(CLAIMS)
    for name, value in changes.items():
        if value is None:
            del claims[name]
        else:
            claims[name] = value
    return claims


VERDICTS = [
    ("good", CLAIMS, "accepted"),
    ("one audience", changed(aud="orders"), "accepted"),
    ("just within the skew", changed(exp=NOW - 59), "accepted"),
    ("expired", changed(exp=NOW - 60), "expired"),
    ("expired, with a fraction", changed(exp=NOW - 60.5), "expired"),
    ("not yet", changed(nbf=NOW + 61), "notYetValid"),
    ("issued ahead", changed(iat=NOW + 61), "notYetValid"),
    ("issuer", changed(iss="https://evil.example"), "wrongIssuer"),
    ("audience", changed(aud=["billing"]), "wrongAudience"),
    ("no expiry", changed(exp=None), "missingClaim"),
    ("no audience", changed(aud=None), "missingClaim"),
]


def emit(name, kind, key, token, expected):
    print(json.dumps({"name": name, "kind": kind, "key": key, "token": token, "expected": expected}))


def public_pem(private):
    return private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def certificate(private):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    start = datetime.datetime(2020, 1, 1)
    digest = None if isinstance(private, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else hashes.SHA256()
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key()).serial_number(1)
        .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1)).sign(private, digest))
    return made.public_bytes(serialization.Encoding.PEM).decode()


def jwk(private, **members):
    public = private.public_key()
    maker = RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else ECAlgorithm if isinstance(private, ec.EllipticCurvePrivateKey) else OKPAlgorithm
    return json.dumps({"keys": [dict(json.loads(maker.to_jwk(public)), **members)]})


def main():
    secret = "a secret of sixty-four characters, which is what HS512 asks for.."
    for algorithm in ["HS256", "HS384", "HS512"]:
        for name, claims, expected in VERDICTS:
            emit(f"{algorithm} {name}", "secret", secret, jwt.encode(claims, secret, algorithm), expected)
        emit(f"{algorithm} other secret", "secret", secret, jwt.encode(CLAIMS, secret[::-1], algorithm), "badSignature")

    pairs = [(rsa.generate_private_key(65537, 2048), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])]
    pairs += [(rsa.generate_private_key(3, 3072), ["RS256", "PS256"])]
    pairs += [(ec.generate_private_key(curve()), [name]) for curve, name in [(ec.SECP256R1, "ES256"), (ec.SECP384R1, "ES384"), (ec.SECP521R1, "ES512")]]
    pairs += [(ed25519.Ed25519PrivateKey.generate(), ["EdDSA"]), (ed448.Ed448PrivateKey.generate(), ["EdDSA"])]
    for private, algorithms in pairs:
        for algorithm in algorithms:
            for name, claims, expected in VERDICTS:
                emit(f"{algorithm} {name}", "pem", public_pem(private), jwt.encode(claims, private, algorithm), expected)
            named = jwt.encode(CLAIMS, private, algorithm, headers={"kid": "one"})
            emit(f"{algorithm} certificate", "pem", certificate(private), named, "accepted")
            emit(f"{algorithm} jwks", "jwks", jwk(private, kid="one", alg=algorithm, use="sig"), named, "accepted")
            emit(f"{algorithm} jwks without alg", "jwks", jwk(private, kid="one"), named, "accepted")
            emit(f"{algorithm} other kid", "jwks", jwk(private, kid="two"), named, "unknownKey")
    stranger = ec.generate_private_key(ec.SECP256R1())
    emit("ES256 other key", "pem", public_pem(stranger), jwt.encode(CLAIMS, pairs[2][0], "ES256"), "badSignature")
    emit("none", "pem", public_pem(stranger), jwt.encode(CLAIMS, None, "none"), "algorithmNotAllowed")
    # 65537 and P-521 coordinates: leading zeros come up in some of many.
    for _ in range(20):
        small = ec.generate_private_key(ec.SECP521R1())
        emit("ES512 many", "jwks", jwk(small), jwt.encode(CLAIMS, small, "ES512"), "accepted")


main()
