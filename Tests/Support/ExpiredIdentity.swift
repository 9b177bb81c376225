// A certificate that has expired, with its key: openssl(1) of the oldest system that runs the tests makes none with dates of one's choice.

/// P-256, for localhost, valid on one day of 2020. For tests alone.
package enum ExpiredIdentity {
    package static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBTTCB9KADAgECAgECMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z
        dDAeFw0yMDAxMDEwMDAwMDBaFw0yMDAxMDIwMDAwMDBaMBQxEjAQBgNVBAMMCWxv
        Y2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKdLR96bkWRo8MJ5sapq
        z6WMoEjV7oFIxtp48JVrBghBdUqwwKK7LlOOIirVMeTWny5M1cRlOLJLO7R4/szH
        +BejNzA1MBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAdBgNVHQ4EFgQUn0b4GXk/aZzX
        fOoXG35BTSNWAQwwCgYIKoZIzj0EAwIDSAAwRQIhAIHyiAh/sjzRj0zzktc7Ln4Y
        1wf25EbTzYFTdInRowGZAiBYcAd1ZXobanbNNu0Nyk+4rcTCpRdCXG0WmxEm9/1r
        /g==
        -----END CERTIFICATE-----

        """
    package static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+m8SBDyIMXV4QIDO
        QRoOfKJVWvMV+UFedFsyuLb4bFChRANCAASnS0fem5FkaPDCebGqas+ljKBI1e6B
        SMbaePCVawYIQXVKsMCiuy5TjiIq1THk1p8uTNXEZTiySzu0eP7Mx/gX
        -----END PRIVATE KEY-----

        """
}
