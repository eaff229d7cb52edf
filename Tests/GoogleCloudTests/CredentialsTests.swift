import Foundation
import Testing

@testable import GoogleCloud

/// A directory of its own, removed at the end.
private final class Folder {
    let path = NSTemporaryDirectory() + "/credentials-\(UUID().uuidString)"
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ text: String) throws -> String {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
        return "\(path)/\(name)"
    }

    /// Runs openssl; nil where it is not installed.
    func openssl(_ arguments: String...) throws -> (status: Int32, output: String)? {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl") else {
            print("skipped: openssl is not installed")
            return nil
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: path)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    /// A key file with a fresh key whose PEM is in key.pem; nil without openssl.
    func makeKeyFile(algorithm: [String] = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]) throws -> String? {
        let kind = algorithm[0]
        let made =
            algorithm.count > 1
            ? try openssl("genpkey", "-algorithm", kind, algorithm[1], algorithm[2], "-out", "key.pem")
            : try openssl("genpkey", "-algorithm", kind, "-out", "key.pem")
        guard let made else { return nil }
        #expect(made.status == 0)
        let pem = String(
            decoding: try Data(contentsOf: URL(fileURLWithPath: path + "/key.pem")), as: UTF8.self)
        let json: [String: Any] = [
            "type": "service_account", "project_id": "from-key", "private_key_id": "kid-1",
            "private_key": pem,
            "client_email": "collector@from-key.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        ]
        let text = String(decoding: try JSONSerialization.data(withJSONObject: json), as: UTF8.self)
        return try write("key.json", text)
    }
}

private func decode(_ part: Substring) throws -> Data {
    var text = part.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
    #expect(!text.contains("="))
    while text.utf8.count % 4 != 0 { text += "=" }
    return try #require(Data(base64Encoded: text))
}

@Suite struct ServiceAccountTests {
    @Test func aTokenIsSignedSoThatOpenSSLVerifiesIt() throws {
        let folder = try Folder()
        guard let file = try folder.makeKeyFile() else { return }
        let credentials = try Credentials.resolve(environment: ["GOOGLE_APPLICATION_CREDENTIALS": file])
        #expect(credentials.token() == nil)
        let before = Int(Date().timeIntervalSince1970)
        let token = try credentials.start()
        defer { credentials.stop() }
        #expect(credentials.token() == token)
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        try #require(parts.count == 3)
        let header = try JSONSerialization.jsonObject(with: decode(parts[0])) as? [String: String]
        #expect(header == ["alg": "RS256", "typ": "JWT", "kid": "kid-1"])
        let claims = try #require(try JSONSerialization.jsonObject(with: decode(parts[1])) as? [String: Any])
        let account = "collector@from-key.iam.gserviceaccount.com"
        #expect(claims["iss"] as? String == account && claims["sub"] as? String == account)
        #expect(claims["scope"] as? String == "https://www.googleapis.com/auth/cloud-platform")
        #expect(claims["aud"] == nil)
        let issued = try #require(claims["iat"] as? Int)
        #expect(issued >= before && issued <= before + 60)
        #expect(claims["exp"] as? Int == issued + 3600)

        _ = try folder.write("signed", "\(parts[0]).\(parts[1])")
        try decode(parts[2]).write(to: URL(fileURLWithPath: folder.path + "/signature"))
        #expect(try folder.openssl("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")?.status == 0)
        let verify = ["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed"]
        let verified = try folder.openssl(
            verify[0], verify[1], verify[2], verify[3], verify[4], verify[5], verify[6])
        #expect(verified?.output.contains("Verified OK") == true)
        _ = try folder.write("signed", "\(parts[0]).\(parts[1])x")
        let refused = try folder.openssl(
            verify[0], verify[1], verify[2], verify[3], verify[4], verify[5], verify[6])
        #expect(refused?.status != 0)
        #expect(credentials.description == "service account \(account)")
        #expect(try credentials.project(environment: [:]) == "from-key")
        #expect(try credentials.project(environment: ["GOOGLE_CLOUD_PROJECT": "other"]) == "other")
    }

    @Test func badKeyFilesAreClearErrorsWithoutSecrets() throws {
        let folder = try Folder()
        func expectError(_ path: String, _ words: String...) {
            let error = #expect(throws: CredentialsError.self) {
                try Credentials.resolve(environment: ["GOOGLE_APPLICATION_CREDENTIALS": path])
            }
            let text = error?.description ?? ""
            for word in words + [path] { #expect(text.contains(word), "\(text)") }
            #expect(!text.contains("geheim"))
        }
        expectError(folder.path + "/absent.json", "cannot be read")
        expectError(try folder.write("a.json", "geheim"), "not a JSON object")
        expectError(try folder.write("b.json", "[1]"), "not a JSON object")
        expectError(try folder.write("c.json", #"{"type":"gdch_service_account"}"#), "gdch_service_account")
        expectError(try folder.write("d.json", "{}"), "service account")
        expectError(try folder.write("e.json", #"{"type":"service_account"}"#), "client_email")
        let broken =
            #"{"type":"service_account","client_email":"a","private_key_id":"b","private_key":"geheim"}"#
        expectError(try folder.write("f.json", broken), "private_key", "PEM")
        if let file = try folder.makeKeyFile(algorithm: ["ED25519"]) { expectError(file, "RSA") }
    }

    @Test func theFileOfGcloudIsFoundAndTheVariableWins() throws {
        let folder = try Folder()
        guard let file = try folder.makeKeyFile() else { return }
        try FileManager.default.copyItem(
            atPath: file, toPath: folder.path + "/application_default_credentials.json")
        let found = try Credentials.resolve(environment: ["CLOUDSDK_CONFIG": folder.path])
        #expect(found.description.hasPrefix("service account"))
        #expect(throws: CredentialsError.self) {
            try Credentials.resolve(environment: [
                "CLOUDSDK_CONFIG": folder.path, "GOOGLE_APPLICATION_CREDENTIALS": "/absent",
            ])
        }
        let server = try Credentials.resolve(environment: ["HOME": folder.path])
        #expect(server.description == "metadata server metadata.google.internal")
    }
}

@Suite struct MetadataServerTests {
    private func credentials(_ server: FakeMetadataServer) throws -> Credentials {
        try Credentials.resolve(environment: ["GCE_METADATA_HOST": "127.0.0.1:\(server.port)"])
    }

    private func answer(_ token: String, _ lifetime: Int) -> FakeMetadataServer.Answer {
        .init(body: #"{"access_token":"\#(token)","expires_in":\#(lifetime),"token_type":"Bearer"}"#)
    }

    private func wait(until isDone: () -> Bool) {
        for _ in 0..<1000 where !isDone() { usleep(10_000) }
    }

    @Test func tokensAreFetchedAndRenewedEarly() throws {
        let server = try FakeMetadataServer([answer("first", 2), answer("second", 3599)])
        defer { server.stop() }
        let credentials = try credentials(server)
        #expect(try credentials.start() == "first")
        defer { credentials.stop() }
        let head = try #require(server.requests.first)
        #expect(
            head.hasPrefix("GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n"))
        #expect(head.contains("\r\nMetadata-Flavor: Google\r\n"))
        wait { credentials.token() == "second" }
        #expect(credentials.token() == "second" && server.requests.count == 2)
        #expect(credentials.problem == nil)
    }

    @Test func refusedTokensForceTwoRenewalsAtMost() throws {
        let server = try FakeMetadataServer([
            answer("first", 3599), answer("second", 3599), answer("third", 3599), answer("fourth", 3599),
        ])
        defer { server.stop() }
        let credentials = try credentials(server)
        try credentials.start()
        defer { credentials.stop() }
        credentials.refuse("another")
        credentials.refuse("first")
        wait { credentials.token() == "second" }
        #expect(credentials.token() == "second")
        credentials.refuse("second")
        wait { credentials.token() == "third" }
        #expect(credentials.token() == "third")
        credentials.refuse("third")
        usleep(100_000)
        #expect(server.requests.count == 3 && credentials.token() == "third")
    }

    @Test func aServerThatFailsIsAskedAgain() throws {
        let server = try FakeMetadataServer([.init(status: 503, body: "later"), answer("token", 3599)])
        defer { server.stop() }
        let credentials = try credentials(server)
        let error = #expect(throws: CredentialsError.self) { try credentials.start() }
        defer { credentials.stop() }
        #expect(error?.description.contains("503") == true)
        wait { credentials.token() != nil }
        #expect(credentials.token() == "token" && credentials.problem == nil)
    }

    @Test(arguments: [
        FakeMetadataServer.Answer(flavor: nil, body: #"{"access_token":"x","expires_in":9}"#),
        FakeMetadataServer.Answer(body: "<html>"), FakeMetadataServer.Answer(body: #"{"access_token":""}"#),
        FakeMetadataServer.Answer(body: #"{"access_token":"a\r\nevil: 1","expires_in":9}"#),
        FakeMetadataServer.Answer(status: 403, body: ""), FakeMetadataServer.Answer(status: 404, body: ""),
    ])
    func answersThatAreNoTokenAreErrors(_ answer: FakeMetadataServer.Answer) throws {
        let server = try FakeMetadataServer([answer])
        defer { server.stop() }
        let credentials = try credentials(server)
        let error = #expect(throws: CredentialsError.self) { try credentials.start() }
        credentials.stop()
        #expect(error?.description.contains("127.0.0.1:\(server.port)") == true)
        #expect(credentials.token() == nil)
    }

    @Test func nobodyThereIsAClearError() throws {
        let server = try FakeMetadataServer([answer("x", 1)])
        server.stop()
        usleep(50_000)
        let credentials = try credentials(server)
        let error = #expect(throws: CredentialsError.self) { try credentials.start() }
        credentials.stop()
        #expect(error?.description.contains("GOOGLE_APPLICATION_CREDENTIALS") == true)
    }

    @Test func theProjectIsAskedFor() throws {
        let server = try FakeMetadataServer([.init(body: "my-project")])
        defer { server.stop() }
        #expect(try credentials(server).project(environment: [:]) == "my-project")
        #expect(server.requests.first?.hasPrefix("GET /computeMetadata/v1/project/project-id ") == true)
    }

    @Test func renewalComesBeforeTheEnd() {
        #expect(Credentials.renewal(after: 3599) == 3599 * 0.9)
        #expect(Credentials.renewal(after: 1000) == 775)
        #expect(Credentials.renewal(after: 300) == 150)
    }
}
