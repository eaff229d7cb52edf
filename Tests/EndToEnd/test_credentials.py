"""All kinds of Google credentials and the secrets of Secret Manager, against a strict stand-in for Google's services,
through `check --resolve-secrets` and `run`. Google's own library is run against the same services for comparison."""

import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import time
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import google_services as google
import harness

SECRET = "projects/test-project/secrets/api-token/versions/latest"
TOKEN = "first-token-of-the-api-0123"
CONFIGURATION = """\
exchanges:
  - {{ adapter: binance, market: spot, endpoint: "{endpoint}", tls: {{ {tls} }},
       subscriptions: [{{ type: trade, symbols: [BTCUSDT] }}] }}
sink: {{ type: "null" }}
api: {{ listen: "127.0.0.1:{port}", token: "{token}" }}
"""


@pytest.fixture
def services():
    made = google.Services()
    made.secrets[SECRET] = TOKEN.encode()
    yield made
    made.stop()


class Kind:
    """A file of credentials, or none, and who its tokens come from. Google's own library asks no server for a key's
    token, asks the metadata server for the account first, and takes no other host than Google's for impersonation:
    these kinds are not compared."""

    def __init__(self, name, file=None, asks=(), compared=True):
        self.name, self.file, self.asks, self.compared = name, file, asks, compared


def subject_file(text):
    def make(services, directory, **more):
        path = directory / "subject"
        path.write_text(text)
        source = {"file": str(path)}
        if text.startswith("{"):
            source["format"] = {"type": "json", "subject_token_field_name": "id"}
        return services.external_file(source, **more)
    return make


def subject_url(path, form):
    return lambda services, directory: services.external_file(
        {"url": services.address + path, "headers": {"X-Identity": "workload"}, **form})


JSON_FORM = {"format": {"type": "json", "subject_token_field_name": "token"}}
KINDS = [
    Kind("key", lambda services, directory: services.key_file(), compared=False),
    Kind("user", lambda services, directory: services.user_file(), ["oauth"]),
    Kind("file", subject_file(google.SUBJECT), ["sts"]),
    Kind("file-json", subject_file(json.dumps({"id": google.SUBJECT})), ["sts"]),
    Kind("url", subject_url("/subject-text", {}), ["subject", "sts"]),
    Kind("url-json", subject_url("/subject-json", JSON_FORM), ["subject", "sts"]),
    Kind("federated-account", lambda services, directory: subject_file(google.SUBJECT)(
        services, directory, impersonated=True), ["sts", "iam"]),
    Kind("impersonated", lambda services, directory: {
        "type": "impersonated_service_account", "source_credentials": services.user_file(),
        "service_account_impersonation_url": services.impersonation_url(), "delegates": []}, ["oauth", "iam"],
        compared=False),
    Kind("metadata", None, ["metadata"], compared=False),
]


def environment(services, directory, kind) -> dict:
    made = {
        "SECRET_MANAGER_ENDPOINT": services.address, "CLOUDSDK_CONFIG": str(directory / "none"),
        "GCE_METADATA_HOST": services.address.removeprefix("http://"), "GOOGLE_APPLICATION_CREDENTIALS": "",
    }
    if kind.file:
        path = directory / "credentials.json"
        path.write_text(json.dumps(kind.file(services, directory)))
        made["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    return made


def assert_nothing_leaks(text, *more):
    for secret in (google.SUBJECT, google.REFRESH, google.CLIENT_SECRET, "ya29.", "eyJ", "PRIVATE KEY", TOKEN, *more):
        assert secret not in text, f"{secret} is shown in: {text}"


def check(directory, environment, token=f"secret://{SECRET}", resolve=True):
    file = directory / "check.yaml"
    file.write_text(CONFIGURATION.format(endpoint="wss://localhost:9443", tls="", port=0, token=token))
    done = subprocess.run(
        [harness.COLLECTOR, "check", "--config", file, *(["--resolve-secrets"] if resolve else [])],
        capture_output=True, text=True, env={**os.environ, **environment}, timeout=100)
    assert_nothing_leaks(done.stdout + done.stderr)
    return done


def by_name(name):
    return next(kind for kind in KINDS if kind.name == name)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_of_credentials_reads_a_secret(services, tmp_path, kind):
    done = check(tmp_path, environment(services, tmp_path, kind))
    assert done.returncode == 0, done.stderr
    assert f"secret://{SECRET}, read" in done.stdout
    assert not services.faults
    assert [request[0] for request in services.requests] == [*kind.asks, "secrets"]
    quota = services.requests[-1][3].get("x-goog-user-project")
    assert quota == ("billed-project" if kind.name == "user" else None)


def essence(request):
    """What the service makes of a request; our fields may stand in another order."""
    service, method, path, headers, body = request
    headers = {name.lower(): value for name, value in headers.items()}
    kind = headers.get("content-type")
    fields = sorted(urllib.parse.parse_qsl(body)) if kind == "application/x-www-form-urlencoded" else body
    if kind == "application/json":
        # For the service nothing, null and an empty list are the same.
        fields = {name: value for name, value in json.loads(body).items() if value}
    scheme = headers.get("authorization", "").partition(" ")[0]
    return service, method, path, kind, fields, scheme, headers.get("x-identity")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.compared], ids=lambda kind: kind.name)
def test_requests_are_those_of_googles_own_library(services, tmp_path, kind):
    made = environment(services, tmp_path, kind)
    check(tmp_path, made)
    ours = [essence(request) for request in services.requests if request[0] != "secrets"]
    services.requests.clear()
    theirs = google.google_auth_credentials(made["GOOGLE_APPLICATION_CREDENTIALS"], services)
    theirs.refresh(google.auth_request())
    assert ours == [essence(request) for request in services.requests]
    assert not services.faults


def test_a_signed_token_is_that_of_googles_own_library(services, tmp_path):
    check(tmp_path, environment(services, tmp_path, by_name("key")))
    ours = services.requests[0][3]["Authorization"].split()[1]
    from google.oauth2 import service_account

    theirs = service_account.Credentials.from_service_account_info(
        services.key_file(), scopes=[google.CLOUD], always_use_jwt_access=True)
    theirs._create_self_signed_jwt(None)
    theirs.refresh(google.auth_request())
    mine, other = services.decode(ours), services.decode(theirs.token)
    for claims in (mine, other):
        assert claims.pop("exp") - claims.pop("iat") == 3600
    assert mine == other


def test_a_refused_signed_token_is_followed_by_one_of_the_token_endpoint(services, tmp_path):
    services.refuses_self_signed = True
    done = check(tmp_path, environment(services, tmp_path, by_name("key")))
    assert done.returncode == 0, done.stderr
    assert not services.faults
    assert [request[0] for request in services.requests] == ["secrets", "oauth", "secrets"]


def delete_key(services):
    services.key_is_valid = False


def set_clock(services):
    services.clock_shift = 7200


def answer(service, *steps):
    return lambda services: services.script.update({service: list(steps)})


REVOKED = google.oauth_error("invalid_grant", "Token has been expired or revoked.")
DENIED = google.api_error(
    403, "PERMISSION_DENIED",
    f"Permission 'secretmanager.versions.access' denied for resource '{SECRET}' (or it may not exist).")
WRONG = [
    ("key", delete_key, ["invalid_grant", "Invalid JWT Signature", "kid-7", "deleted or disabled"]),
    ("key", set_clock, ["clock", "behind the server's", "NTP"]),
    ("user", answer("oauth", REVOKED), ["gcloud auth application-default login", "invalid_grant"]),
    ("user", answer("oauth", google.Refused(200, "<html>")), ["holds no token"]),
    ("file", answer("sts", google.oauth_error("invalid_target", "no such pool")), ["invalid_target", "audience"]),
    ("file", lambda services: services.secrets.clear(), ["404", "NOT_FOUND", "check the name"]),
    ("file", answer("secrets", DENIED), ["PERMISSION_DENIED", "roles/secretmanager.secretAccessor", SECRET]),
    ("file", answer("secrets", google.api_error(400, "FAILED_PRECONDITION", "is in DISABLED state.")), ["enable"]),
    ("file", answer("secrets", google.Refused(200, "<html>hello</html>", "text/html")), ["not one of Secret Manager's"]),
    ("file", lambda services: setattr(services, "corrupts", "checksum"), ["CRC32C"]),
    ("file", lambda services: setattr(services, "corrupts", "data"), ["CRC32C"]),
    ("federated-account", answer("iam", google.api_error(
        403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied")),
     ["roles/iam.workloadIdentityUser", google.ACCOUNT]),
    ("url", answer("subject", google.Refused(404, "no", "text/plain")), ["/subject-text", "404"]),
    ("metadata", answer("metadata", google.Refused(404, "no", "text/plain")), ["404", "service account"]),
]


@pytest.mark.parametrize("name,change,words", WRONG, ids=[f"{name}-{words[0]}" for name, _, words in WRONG])
def test_refusals_name_the_cause_and_the_remedy(services, tmp_path, name, change, words):
    made = environment(services, tmp_path, by_name(name))
    change(services)
    done = check(tmp_path, made)
    assert done.returncode == 78
    for word in ["check.yaml:5", "api.token", *words]:
        assert word in done.stderr, done.stderr


PAUSES = [
    ("user", answer("oauth", google.Refused(503, "later", "text/plain"))),
    ("file", answer("sts", google.HTML)),
    ("file", answer("secrets", google.api_error(429, "RESOURCE_EXHAUSTED", "Quota exceeded"), google.HTML)),
    ("metadata", answer("metadata", 4)),
    ("metadata", answer("metadata", google.Refused(500, "", "text/plain"))),
]


@pytest.mark.parametrize("name,change", PAUSES)
def test_a_service_that_is_not_ready_is_asked_again(services, tmp_path, name, change):
    made = environment(services, tmp_path, by_name(name))
    change(services)
    assert check(tmp_path, made).returncode == 0
    assert not services.faults


def test_revoked_tokens_force_two_renewals(services, tmp_path):
    refusal = google.api_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
    services.script["secrets"] = [refusal, refusal]
    assert check(tmp_path, environment(services, tmp_path, by_name("user"))).returncode == 0
    assert services.count("oauth") == 3
    services.requests.clear()
    services.script["secrets"] = [refusal] * 9
    done = check(tmp_path, environment(services, tmp_path, by_name("user")))
    assert done.returncode == 78 and "revoked or expired" in done.stderr
    assert services.count("oauth") == 3 and services.count("secrets") == 3


def test_the_documented_order_is_kept(services, tmp_path):
    made = environment(services, tmp_path, by_name("key"))
    folder = tmp_path / "gcloud"
    folder.mkdir()
    (folder / "application_default_credentials.json").write_text(json.dumps(services.user_file()))
    made["CLOUDSDK_CONFIG"] = str(folder)
    assert check(tmp_path, made).returncode == 0
    assert services.count("oauth") == 0
    broken = {**made, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "absent.json")}
    done = check(tmp_path, broken)
    assert done.returncode == 78 and "absent.json" in done.stderr
    assert check(tmp_path, {**made, "GOOGLE_APPLICATION_CREDENTIALS": ""}).returncode == 0
    assert services.count("oauth") == 1
    (folder / "application_default_credentials.json").unlink()
    assert check(tmp_path, {**made, "GOOGLE_APPLICATION_CREDENTIALS": ""}).returncode == 0
    assert services.count("metadata") == 1


def test_secrets_are_only_named_unless_asked_for(services, tmp_path):
    done = check(tmp_path, environment(services, tmp_path, by_name("key")), resolve=False)
    assert done.returncode == 0
    assert f"secret://{SECRET}, not read" in done.stdout
    assert not services.requests
    done = check(tmp_path, {}, token="secret://projects/p/secrets/s", resolve=False)
    assert done.returncode == 78 and "secret://projects/P/secrets/S/versions/V" in done.stderr


def test_a_regional_secret_is_read_once_for_two_values(services, tmp_path):
    name = "projects/test-project/locations/europe-west1/secrets/regional/versions/3"
    services.secrets[name] = TOKEN.encode()
    made = environment(services, tmp_path, by_name("key"))
    assert check(tmp_path, made, token=f"secret://{name}").returncode == 0
    assert services.count("secrets") == 1
    services.secrets[SECRET] = b"too short"
    done = check(tmp_path, made)
    assert done.returncode == 78 and "too weak" in done.stderr and "too short" not in done.stderr


def test_certificates_are_verified(services, tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256()))
    file = tmp_path / "authority.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both = tmp_path / "server.pem"
    both.write_bytes(file.read_bytes() + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    services.server.socket = context.wrap_socket(services.server.socket, server_side=True)
    made = environment(services, tmp_path, by_name("key"))
    made["SECRET_MANAGER_ENDPOINT"] = services.address.replace("http:", "https:")
    done = check(tmp_path, made)
    assert done.returncode == 78 and "SSL_CERT_FILE" in done.stderr and "ertificate" in done.stderr
    assert check(tmp_path, {**made, "SSL_CERT_FILE": str(file)}).returncode == 0


def test_a_rotated_secret_is_taken_at_reload(programs, services, tmp_path):
    replayer = programs.replayer("--synthetic", "--symbols", 1, "--seed", 3, "--mix", "trade=100", "--pace", "rate=50")
    file = tmp_path / "run.yaml"
    port = harness.free_port()
    tls = f'certificateAuthority: "{replayer.authority}"'
    file.write_text(CONFIGURATION.format(
        endpoint=replayer.endpoint, tls=tls, port=port, token=f"secret://{SECRET}"))
    made = environment(services, tmp_path, by_name("file"))
    run = programs.run("collector", [harness.COLLECTOR, "run", "--config", file], environment=made)
    run.wait_for("API on")

    def status(token):
        return subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}",
             f"http://127.0.0.1:{port}/v1/status"], capture_output=True, text=True, check=True).stdout

    assert status(TOKEN) == "200" and status("another-token-0123456789") == "401"
    rotated = "second-token-of-the-api-4567"
    services.secrets[SECRET] = rotated.encode()
    run.child.send_signal(1)
    harness.wait_until("the new token in use", lambda: status(rotated) == "200")
    assert status(TOKEN) == "401"
    services.script["secrets"] = [DENIED]
    run.child.send_signal(1)
    run.wait_for("nothing was changed")
    assert status(rotated) == "200"
    run.child.terminate()
    assert run.child.wait(30) == 0
    assert_nothing_leaks(run.log(), rotated)
    assert f"api.token is secret://{SECRET}" in run.log()
    assert not services.faults
