#!/usr/bin/env python3
"""Makes a token. Usage: JWT_SECRET=… make-token.py ALGORITHM(HS256|HS512|none) SECONDS_UNTIL_EXPIRY [SCOPE]"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


algorithm, seconds, scope = sys.argv[1], int(sys.argv[2]), (sys.argv + [""])[3]
claims = {"iss": "https://issuer.example", "aud": "notes", "sub": "ann", "exp": int(time.time()) + seconds, "scope": scope}
signed = ".".join(base64url(json.dumps(part).encode()) for part in ({"alg": algorithm, "typ": "JWT"}, claims))
digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}.get(algorithm)
print(signed + "." + (base64url(hmac.new(os.environ["JWT_SECRET"].encode(), signed.encode(), digest).digest()) if digest else ""))
