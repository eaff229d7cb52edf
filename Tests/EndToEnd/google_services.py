"""A strict stand-in for Google's token endpoint, security token service, IAM Credentials API, metadata server and
Secret Manager, over real sockets. What a request holds beyond, or lacks of, what the service documents is an error of
its own; answers can be scripted."""

import json
import threading
import time
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import google.auth.identity_pool
import google.auth.transport.requests
import google.oauth2.credentials
import google_crc32c
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.api_core import path_template
from google.cloud.iam_credentials_v1.types import GenerateAccessTokenRequest
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import rest_base
from google.cloud.secretmanager_v1.types import AccessSecretVersionRequest, AccessSecretVersionResponse, SecretPayload
from google.protobuf import json_format

ACCOUNT = "collector@test-project.iam.gserviceaccount.com"
AUDIENCE = "//iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/pool/providers/provider"
CLOUD = "https://www.googleapis.com/auth/cloud-platform"
IAM = "https://www.googleapis.com/auth/iam"
TOKEN_AUDIENCE = "https://oauth2.googleapis.com/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
# The paths of a secret's access, as the official client has them.
ACCESS = rest_base._BaseSecretManagerServiceRestTransport._BaseAccessSecretVersion._get_http_options()
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
SUBJECT = "subject-token-of-another-provider-0123456789abcdef"
REFRESH = "1//refresh-token-0123456789-abcdefghijklmnop"
CLIENT_SECRET = "GOCSPX-client-secret-0123456789abcdef"


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, body, content_type="application/json"):
        self.status, self.body, self.content_type = status, body, content_type


def oauth_error(word: str, text: str = "", status: int = 400) -> Refused:
    return Refused(status, {"error": word, "error_description": text})


def api_error(code: int, status: str, message: str) -> Refused:
    return Refused(code, {"error": {"code": code, "status": status, "message": message}})


HTML = Refused(502, "<html><body>Bad gateway</body></html>", "text/html")


class Services:
    """All services on one port; each has paths of its own."""

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_is_valid = True
        self.clock_shift = 0
        self.lifetime = 3599
        self.issued = 0
        # Bearer tokens that are good, with their scopes.
        self.tokens: dict[str, str] = {}
        self.secrets: dict[str, bytes] = {}
        # By service: what it answers before it works, oldest first. A number is a pause in seconds.
        self.script: dict[str, list] = {}
        # (service, method, path, headers, body) of every request.
        self.requests: list[tuple] = []
        # What a strict server found wrong.
        self.faults: list[str] = []
        self.refuses_self_signed = False
        self.corrupts = None
        services = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def date_time_string(self, timestamp=None):
                return formatdate(time.time() + services.clock_shift, usegmt=True)

            def do_GET(self):
                services.serve(self)

            def do_POST(self):
                services.serve(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    # Files of credentials

    def pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()

    def key_file(self) -> dict:
        return {
            "type": "service_account", "project_id": "test-project", "private_key_id": "kid-7",
            "private_key": self.pem(), "client_email": ACCOUNT, "client_id": "1",
            "token_uri": f"{self.address}/token", "universe_domain": "googleapis.com",
        }

    def user_file(self) -> dict:
        return {
            "type": "authorized_user", "client_id": "client.apps.example", "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH, "token_uri": f"{self.address}/token", "quota_project_id": "billed-project",
        }

    def impersonation_url(self) -> str:
        return f"{self.address}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"

    def external_file(self, source: dict, impersonated: bool = False) -> dict:
        file = {
            "type": "external_account", "audience": AUDIENCE, "subject_token_type": JWT_TYPE,
            "token_url": f"{self.address}/v1/token", "credential_source": source,
        }
        if impersonated:
            file["service_account_impersonation_url"] = self.impersonation_url()
        return file

    # The services

    def count(self, service: str) -> int:
        return sum(1 for request in self.requests if request[0] == service)

    def serve(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length).decode()
        path = handler.path
        if path == "/token":
            service, answer = "oauth", self.oauth
        elif path == "/v1/token":
            service, answer = "sts", self.exchange
        elif path.endswith(":generateAccessToken"):
            service, answer = "iam", self.generate
        elif path.startswith("/computeMetadata/"):
            service, answer = "metadata", self.metadata
        elif path.startswith("/subject"):
            service, answer = "subject", self.subject
        elif path.partition("?")[0].endswith(":access"):
            service, answer = "secrets", self.access
        else:
            service, answer = "none", self.nothing
        self.requests.append((service, handler.command, path, dict(handler.headers), body))
        try:
            step = self.script.get(service) or []
            if step:
                first = step.pop(0)
                if isinstance(first, (int, float)):
                    time.sleep(first)
                elif first is not None:
                    raise first
            self.reply(handler, 200, answer(handler, path, body))
        except Refused as refusal:
            self.reply(handler, refusal.status, refusal.body, refusal.content_type)
        except BrokenPipeError:
            pass  # Who asked has given up.
        except Exception as error:  # A request that no official type decodes.
            self.faults.append(f"{service} {path}: {type(error).__name__}: {error}")
            self.reply(handler, 400, {"error": "invalid_request", "error_description": str(error)})

    def reply(self, handler, status, body, content_type="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(data)))
        if handler.path.startswith("/computeMetadata/"):
            handler.send_header("Metadata-Flavor", "Google")
        handler.end_headers()
        handler.wfile.write(data)

    def demand(self, truth, what: str):
        if not truth:
            self.faults.append(what)
            raise oauth_error("invalid_request", what)

    def issue(self, scope: str) -> str:
        self.issued += 1
        token = f"ya29.issued-token-{self.issued:04d}-0123456789abcdefghij"
        self.tokens[token] = scope
        return token

    def form(self, handler, body: str) -> dict:
        self.demand(handler.command == "POST", "a token is asked for with POST")
        self.demand(handler.headers["Content-Type"] == "application/x-www-form-urlencoded", "the form's type")
        fields = urllib.parse.parse_qsl(body, strict_parsing=True)
        self.demand(len(dict(fields)) == len(fields), "a field occurs twice")
        return dict(fields)

    def oauth(self, handler, path, body):
        fields = self.form(handler, body)
        if fields.get("grant_type") == "refresh_token":
            self.demand(set(fields) == {"grant_type", "client_id", "client_secret", "refresh_token"}, f"{set(fields)}")
            if fields["refresh_token"] != REFRESH or fields["client_secret"] != CLIENT_SECRET:
                raise oauth_error("invalid_grant", f"Token {fields['refresh_token']} has been expired or revoked.")
        else:
            self.demand(set(fields) == {"grant_type", "assertion"}, f"fields {set(fields)}")
            self.demand(fields["grant_type"] == JWT_BEARER, "the grant type")
            if not self.key_is_valid:
                raise oauth_error("invalid_grant", f"Invalid JWT Signature. {fields['assertion']}")
            claims = self.decode(fields["assertion"], audience=TOKEN_AUDIENCE)
            self.demand(set(claims) == {"iss", "scope", "aud", "iat", "exp"}, f"claims {set(claims)}")
            self.demand(claims["iss"] == ACCOUNT, "the issuer")
        return {"access_token": self.issue(CLOUD), "expires_in": self.lifetime, "token_type": "Bearer"}

    def decode(self, token: str, audience=None) -> dict:
        """The claims of a token that our key signed, by an independent library; or the endpoint's refusal."""
        head = jwt.get_unverified_header(token)
        self.demand(head == {"alg": "RS256", "typ": "JWT", "kid": "kid-7"}, f"header {head}")
        claims = jwt.decode(
            token, self.key.public_key(), algorithms=["RS256"], audience=audience,
            options={"verify_aud": audience is not None, "verify_exp": False, "verify_iat": False})
        now = time.time() + self.clock_shift
        if not claims["iat"] - 300 <= now <= claims["exp"]:
            raise oauth_error(
                "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable"
                " timeframe. Check your iat and exp values in the JWT claim.")
        self.demand(claims["exp"] - claims["iat"] <= 3600, "a longer life than an hour")
        return claims

    def exchange(self, handler, path, body):
        fields = self.form(handler, body)
        wanted = {"grant_type", "audience", "scope", "requested_token_type", "subject_token", "subject_token_type"}
        self.demand(set(fields) == wanted, f"fields {set(fields) ^ wanted}")
        self.demand(fields["grant_type"] == EXCHANGE and fields["audience"] == AUDIENCE, "grant type or audience")
        self.demand(fields["requested_token_type"] == ACCESS_TOKEN, "the requested type")
        self.demand(fields["subject_token_type"] == JWT_TYPE and fields["scope"] in (CLOUD, IAM), "type or scope")
        if fields["subject_token"] != SUBJECT:
            raise oauth_error("invalid_grant", f"ID Token {fields['subject_token']} is stale to sign-in.")
        return {
            "access_token": self.issue(fields["scope"]), "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
            "expires_in": self.lifetime,
        }

    def bearer(self, handler, *scopes):
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        self.demand(scheme == "Bearer" and token, "no bearer token")
        if self.tokens.get(token) in scopes:
            return
        if token.count(".") == 2 and not self.refuses_self_signed and self.key_is_valid:
            try:
                claims = self.decode(token)
            except Refused:
                raise api_error(401, "UNAUTHENTICATED", f"Request had invalid authentication credentials {token}.")
            self.demand(claims["iss"] == claims["sub"] == ACCOUNT, "issuer and subject")
            self.demand(set(claims) == {"iss", "sub", "scope", "iat", "exp"}, f"claims {set(claims)}")
            if claims["scope"] in scopes:
                return
        raise api_error(401, "UNAUTHENTICATED", f"Request had invalid authentication credentials {token}.")

    def generate(self, handler, path, body):
        self.demand(handler.headers["Content-Type"] == "application/json", "the body's type")
        self.bearer(handler, IAM, CLOUD)
        request = GenerateAccessTokenRequest()
        json_format.Parse(body, GenerateAccessTokenRequest.pb(request))
        self.demand(list(request.scope) == [CLOUD] and not request.delegates, "scope or delegates")
        self.demand(600 <= request.lifetime.total_seconds() <= 43200, "lifetime")
        end = time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.clock_shift + request.lifetime.total_seconds()))
        return {"accessToken": self.issue(CLOUD), "expireTime": end}

    def metadata(self, handler, path, body):
        if handler.headers.get("Metadata-Flavor") != "Google" or "X-Forwarded-For" in handler.headers:
            raise Refused(403, "Missing Metadata-Flavor:Google header.", "text/html")
        self.demand(path == "/computeMetadata/v1/instance/service-accounts/default/token", path)
        return {"access_token": self.issue(CLOUD), "expires_in": self.lifetime, "token_type": "Bearer"}

    def subject(self, handler, path, body):
        self.demand(handler.headers.get("X-Identity") == "workload", "the configured header")
        return SUBJECT if path == "/subject-text" else {"token": SUBJECT, "other": 1}

    def access(self, handler, path, body):
        self.demand(handler.command == "GET" and not body, "a secret is read with GET")
        self.bearer(handler, CLOUD)
        path, _, query = path.partition("?")
        self.demand(any(path_template.validate(rule["uri"], path) for rule in ACCESS), f"path {path}")
        # What is neither in the path nor a field of the message is an error.
        fields = {**dict(urllib.parse.parse_qsl(query)), "name": path.removeprefix("/v1/").removesuffix(":access")}
        name = json_format.ParseDict(fields, AccessSecretVersionRequest.pb()()).name
        if name not in self.secrets:
            raise api_error(404, "NOT_FOUND", f"Secret Version [{name}] not found.")
        data = self.secrets[name]
        sum_ = google_crc32c.value(data)
        if self.corrupts == "checksum":
            sum_ ^= 1
        if self.corrupts == "data":
            data = data[::-1]
        response = AccessSecretVersionResponse(
            name=name.replace("latest", "3"), payload=SecretPayload(data=data, data_crc32c=sum_))
        return json_format.MessageToDict(AccessSecretVersionResponse.pb(response))

    def nothing(self, handler, path, body):
        self.demand(False, f"unknown path {path}")


# Google's own library, against these services.


def auth_request():
    return google.auth.transport.requests.Request()


def google_auth_credentials(path: str, services: Services):
    """What google-auth makes of a file, its fixed token endpoint replaced."""
    with open(path, encoding="utf-8") as file:
        info = json.load(file)
    if info["type"] == "authorized_user":
        google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT = f"{services.address}/token"
        return google.oauth2.credentials.Credentials.from_authorized_user_info(info)
    return google.auth.identity_pool.Credentials.from_info(info, scopes=[CLOUD])
