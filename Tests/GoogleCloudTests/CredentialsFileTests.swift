import Foundation
import Testing

@testable import GoogleCloud

/// What files of credentials say, before any server is asked. The servers' part is tested end to end.
@Suite struct CredentialsFileTests {
    private func problem(_ json: [String: Any]) -> String {
        do {
            return try CredentialsFile(json: json, origin: "the file").provider().description
        } catch {
            return error.description
        }
    }

    private func external(_ source: [String: Any], _ more: [String: Any] = [:]) -> [String: Any] {
        let json: [String: Any] = [
            "type": "external_account", "audience": "//iam.googleapis.com/pool",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source,
        ]
        return json.merging(more) { $1 }
    }

    @Test func whatCannotBeUsedIsNamed() {
        let cases: [([String: Any], String)] = [
            (external(["executable": ["command": "x"]]), "executable' is not supported"),
            (external(["environment_id": "aws1"]), "AWS is not supported"),
            (external(["certificate": [:]]), "certificate' is not supported"),
            (external(["file": ""]), "neither a file nor"),
            (external(["url": "ftp://x"]), "neither a file nor"),
            (external(["url": "https://x", "headers": ["A": "b\r\nc: d"]]), "line break"),
            (external(["file": "/t", "format": ["type": "xml"]]), "write text or json"),
            (external(["file": "/t", "format": ["type": "json"]]), "subject_token_field_name"),
            (external(["file": "/t"], ["token_url": "http://sts.example"]), "not an https address"),
            (external(["file": "/t"], ["token_url": "https://user:pw@sts.example"]), "not an https address"),
            (external(["file": "/t"], ["universe_domain": "example.org"]), "universe 'example.org'"),
            (external(["file": "/t"], ["service_account_impersonation_url": 7]), "no 'service_account_imp"),
            (["type": "authorized_user", "client_id": "a"], "no 'client_secret'"),
            (["type": "impersonated_service_account"], "source_credentials"),
        ]
        for (json, words) in cases {
            let text = problem(json)
            #expect(text.hasPrefix("the file: ") && text.contains(words), "\(text)")
        }
    }

    @Test func sourcesAreDescribed() {
        #expect(problem(external(["file": "/t"])) == "external account //iam.googleapis.com/pool")
        let url =
            "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b:generateAccessToken"
        #expect(
            problem(external(["file": "/t"], ["service_account_impersonation_url": url]))
                == "service account a@b, by external account //iam.googleapis.com/pool")
        let user = [
            "type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c",
        ]
        #expect(
            problem([
                "type": "impersonated_service_account", "service_account_impersonation_url": url,
                "source_credentials": user,
            ]) == "service account a@b, by the user of the file, source_credentials")
    }

    @Test func universesOtherThanGooglesAreRefused() {
        let error = #expect(throws: CredentialsError.self) {
            try Credentials.resolve(environment: ["GOOGLE_CLOUD_UNIVERSE_DOMAIN": "example.org"])
        }
        #expect(error?.description.contains("example.org") == true)
    }

    @Test func quotaProjects() throws {
        let folder = NSTemporaryDirectory() + "/quota-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let json = #"{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c","#
        try Data((json + #""quota_project_id":"billed"}"#).utf8).write(to: URL(fileURLWithPath: folder))
        var environment = ["GOOGLE_APPLICATION_CREDENTIALS": folder]
        #expect(try Credentials.resolve(environment: environment).quotaProject == "billed")
        environment["GOOGLE_CLOUD_QUOTA_PROJECT"] = "other"
        #expect(try Credentials.resolve(environment: environment).quotaProject == "other")
        // It goes into a header.
        environment = ["GOOGLE_CLOUD_QUOTA_PROJECT": "a\r\nx: y", "GCE_METADATA_HOST": "127.0.0.1:1"]
        let error = #expect(throws: CredentialsError.self) {
            try Credentials.resolve(environment: environment)
        }
        #expect(error?.description.contains("GOOGLE_CLOUD_QUOTA_PROJECT") == true)
    }
}

@Suite struct SecretNameTests {
    @Test(arguments: [
        "secret://projects/p/secrets/s/versions/latest",
        "secret://projects/12/locations/europe-west1/secrets/a_B-1/versions/7",
    ])
    func names(text: String) throws {
        let reference = try #require(SecretReference(text))
        #expect(reference.description == text)
        #expect(reference.location == (text.contains("locations") ? "europe-west1" : nil))
    }

    @Test(arguments: [
        "secret://", "secret://projects/p/secrets/s", "secret://projects/p/secrets/s/versions/",
        "secret://projects/p/secrets/../versions/1", "secret://projects/p/secret/s/versions/1",
        "secret://projects/p/secrets/s/versions/1?x", "secret://projects/p/secrets/s/versions/1/",
        "projects/p/secrets/s/versions/1", "secret://projects/p/places/l/secrets/s/versions/1",
    ])
    func others(text: String) { #expect(SecretReference(text) == nil) }

    @Test func checksums() {
        // RFC 3720, appendix B.4, and the service's own documentation.
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 3_808_858_755)
        #expect(CRC32C.checksum(Array("s3cret".utf8)) == 2_552_768_472)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.checksum([]) == 0)
    }
}

@Suite struct ServerAnswerTests {
    @Test func times() {
        #expect(UTCTime.http(" Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
        #expect(UTCTime.rfc3339("1994-11-06T08:49:37Z") == 784_111_777)
        #expect(UTCTime.rfc3339("1994-11-06T08:49:37.5Z") == 784_111_777)
        for text in ["", "yesterday", "1994-11-06", "1994-13-06T08:49:37Z", "1994-11-06T08:49:37+01:00"] {
            #expect(UTCTime.rfc3339(text) == nil && UTCTime.http(text) == nil)
        }
    }

    @Test func aWrongClockIsNamed() {
        let answer = WebAnswer(
            status: 400, headers: "HTTP/1.1 400\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", body: Data())
        #expect(answer.clockFault(now: 784_111_777 + 59).isEmpty)
        #expect(answer.clockFault(now: 784_111_777 + 600).contains("600 s ahead of"))
        #expect(answer.clockFault(now: 784_111_777 - 600).contains("600 s behind"))
    }

    @Test func whatServersSendBackIsNotShown() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl"
        let body = #"{"error":"invalid_grant","error_description":"Bad token \#(token), client hush\n"}"#
        let answer = WebAnswer(status: 400, headers: "", body: Data(body.utf8), secrets: ["hush"])
        #expect(answer.reason == "invalid_grant: Bad token […] client […]")
        let denied =
            #"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"Permission 'secretmanager.versions.access' denied for resource 'projects/p/secrets/a-rather-long-name/versions/latest' (or it may not exist)."}}"#
        #expect(
            WebAnswer(status: 403, headers: "", body: Data(denied.utf8)).reason
                == "PERMISSION_DENIED: Permission 'secretmanager.versions.access' denied for resource"
                + " 'projects/p/secrets/a-rather-long-name/versions/latest' (or it may not exist).")
        #expect(WebAnswer(status: 502, headers: "", body: Data("<html>".utf8)).reason.contains("not JSON"))
    }

    @Test func formsAreEncoded() {
        let request = WebRequest.form("https://x", [("a", "b c&d=é"), ("refresh_token", "r")])
        #expect(request.body == "a=b%20c%26d%3D%C3%A9&refresh_token=r")
        #expect(request.secrets == ["r"])
    }
}
