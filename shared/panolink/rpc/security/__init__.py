"""Authentication and encryption: TLS or mutual TLS, and bearer tokens.

`credentials` loads and reloads certificates and token from files, `token_auth` checks the token of every call, and
`certificate_authority` issues certificates for development and small deployments.
There are no roles: a peer with valid credentials may call every method.
"""
