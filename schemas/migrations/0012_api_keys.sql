-- Keys of the API, as hashes: what a key is, only its holder knows. A key that is revoked stays,
-- so that its name is not given to another one.
CREATE TABLE api_key (
    name text PRIMARY KEY,
    sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
