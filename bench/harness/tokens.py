"""JSON Web Tokens signed with HS256 for comparisons, and those that everybody must refuse."""
import base64
import hashlib
import hmac
import json

SECRET = "0123456789abcdef0123456789abcdef"
CLAIMS = {"iss": "https://issuer.example", "sub": "user-7", "aud": ["orders"], "exp": 4102444800, "iat": 1700000000, "jti": "0f8fad5b-d9cb-469f-a165-70867728950e"}


def token(header={"alg": "HS256", "typ": "JWT"}, secret=SECRET, **changes):
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    text = ".".join(part(json.dumps(v, separators=(",", ":")).encode()) for v in (header, CLAIMS | changes))
    return text + "." + ("" if header["alg"] == "none" else part(hmac.digest(secret.encode(), text.encode(), hashlib.sha256)))


GOOD = token()
REFUSED = {"no token": None, "expired": token(exp=1700000000), "another key": token(secret=SECRET[::-1]), "alg none": token({"alg": "none", "typ": "JWT"}),
           "another audience": token(aud="billing"), "another issuer": token(iss="https://evil.example"), "one byte less": GOOD[:-1]}
