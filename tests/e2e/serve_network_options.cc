// The options of `fulmen serve` that say who may ask, and how.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "tests/e2e/serve_options.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

std::string StatusText(const RawAnswer& answer) { return std::to_string(answer.status); }

Ask StatusWith(const std::string& headers) {
  return [headers](const Served& server) {
    return StatusText(server.Ask("GET /v1/models", "", headers));
  };
}

std::string StatusOfLongBody(const Served& server) {
  return StatusText(
      server.Ask("POST /v1/chat/completions", ChatOf(std::string(1000, 'a'), 1).dump()));
}

void ShowHost() {
  const Served server(NewFolder(), {"--host", "127.0.0.2"});
  EXPECT_EQ(server.url(), fmt::format("http://127.0.0.2:{}", server.port()));
  const auto exit_of = [&](const std::string& host) {
    return RunProgram({"curl", "-s", fmt::format("http://{}:{}/health", host, server.port())})
        .exit_code;
  };
  EXPECT_EQ(exit_of("127.0.0.2"), 0);
  EXPECT_EQ(exit_of("127.0.0.1"), 7);  // cannot connect
  if (std::filesystem::exists("/proc/sys/net/ipv6/conf/lo")) {
    const Served six(NewFolder(), {"--host", "::1"});
    EXPECT_EQ(six.url(), fmt::format("http://[::1]:{}", six.port()));
    EXPECT_EQ(RunProgram({"curl", "-sg", six.url() + "/health"}).exit_code, 0);
  }
  ExpectRefused({"--host", "127.0.0.1.example"}, "--host 127.0.0.1.example lets other machines in");
  ExpectRefused({"--host", "no such host"}, "--host no such host lets other machines in");
  ExpectRefused({"--host", "256.0.0.1", "--anyone"}, "cannot listen on '256.0.0.1': ", 1);
}

void ShowPort() {
  const std::string port = FreePort();
  const Served server(NewFolder(), {"--port", port});
  EXPECT_EQ(std::to_string(server.port()), port);
  ExpectRefused({"--port", port}, "cannot listen on '127.0.0.1' port " + port + ": ", 1);
  ExpectRefused({"--port", "65536"}, "--port should be ");
}

void ShowAnyone() {
  const Words everywhere = {"--host", "0.0.0.0"};
  ExpectRefused(everywhere, "--host 0.0.0.0 lets other machines in, and without keys everybody");
  Served server(NewFolder(), {"--host", "0.0.0.0", "--anyone"});
  EXPECT_EQ(server.Ask("GET /v1/models").status, 200);
  ExpectRefused({"--anyone", "--api-key", "k"}, "--anyone and --api-key exclude each other");
  Served keyed(NewFolder(), {"--host", "0.0.0.0", "--api-key", "k"});
  EXPECT_EQ(keyed.Ask("GET /v1/models").status, 401);
}

const std::string kBearer = "Authorization: Bearer second\r\n";

void ShowKeys() {
  const Served server(NewFolder(), {"--api-key", "first", "--api-key", "second"});
  EXPECT_EQ(StatusWith("")(Plain()), "200");
  EXPECT_EQ(StatusWith("")(server), "401");
  EXPECT_EQ(StatusWith(kBearer)(server), "200");
  EXPECT_EQ(StatusWith("x-api-key: first\r\n")(server), "200");
  EXPECT_EQ(StatusWith("x-api-key: third\r\n")(server), "401");
  EXPECT_EQ(server.Ask("GET /health").status, 200);
  ExpectRefused({"--api-key", ""}, "--api-key is empty");
  // What one key keeps, no other finds.
  server.Post("/v1/chat/completions", ChatOf("Hi", 1), kBearer + "Session: mine\r\n");
  EXPECT_EQ(server.Ask("GET /v1/sessions/mine", "", kBearer).status, 200);
  EXPECT_EQ(server.Ask("GET /v1/sessions/mine", "", "x-api-key: second\r\n").status, 200);
  EXPECT_EQ(server.Ask("GET /v1/sessions/mine", "", "authorization: bearer second\r\n").status,
            200);
  EXPECT_EQ(server.Ask("GET /v1/sessions/mine", "", "x-api-key: first\r\n").status, 404);
}

void ShowKeyFile() {
  const std::string file = InFolder("keys", "# Mine\n\n first \r\nsecond");
  const Served server(NewFolder(), {"--api-key-file", file});
  EXPECT_EQ(StatusWith("")(server), "401");
  EXPECT_EQ(StatusWith(kBearer)(server), "200");
  EXPECT_EQ(StatusWith("x-api-key: first\r\n")(server), "200");
  EXPECT_EQ(StatusWith("x-api-key: # Mine\r\n")(server), "401");
  const std::string none = InFolder("none", "# None\n");
  ExpectRefused({"--api-key-file", none}, none + ": a key is expected on a line", 1);
}

// accounts_test.cc has what comes of it.
void ShowAccounts() {
  const Served server(NewFolder(), {"--accounts", "ledger.db"});
  EXPECT_EQ(StatusWith("")(server), "401");
  EXPECT_NE(server.Err().find("sk-fulmen-"), std::string::npos) << server.Err();
  ExpectRefused({"--accounts", "ledger.db", "--api-key", "k"},
                "--accounts and --api-key exclude each other");
  ExpectRefused({"--accounts", "/"}, "/: a ledger is a regular file", 1);
}

// It is there, and locked, before PostgreSQL is looked for.
void ShowJournal() {
  const std::string journal = NewFolder() + "/journal";
  const Words none = {"--accounts", "postgresql:///none?host=/nowhere"};
  ExpectRefused({none[0], none[1], "--accounts-journal", journal}, "", 1);
  EXPECT_TRUE(std::filesystem::exists(journal));
  ExpectRefused({"--accounts-journal", journal}, "--accounts-journal does nothing without");
}

void ShowAllowedHosts() {
  const std::string name = "Host: models.example\r\n";
  const Served server(NewFolder(), {"--allow-host", "models.example"});
  EXPECT_EQ(StatusWith(name)(Plain()), "403");
  EXPECT_EQ(StatusWith(name)(server), "200");
  EXPECT_EQ(StatusWith("Host: other.example\r\n")(server), "403");
  for (const std::string host : {"https://models.example", "models.example/", ""}) {
    ExpectRefused({"--allow-host", host}, "--allow-host should be a name");
  }
}

void ShowCors() {
  const std::string page = "Origin: https://chat.example\r\n";
  const Served server(NewFolder(), {"--cors-origin", "https://chat.example"});
  EXPECT_EQ(StatusWith(page)(Plain()), "403");
  const RawAnswer answer = server.Ask("GET /v1/models", "", page);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.Header("access-control-allow-origin"), "https://chat.example");
  EXPECT_EQ(StatusWith("Origin: https://other.example\r\n")(server), "403");
  for (const std::string origin : {"chat.example", "https://chat.example/", "://chat.example"}) {
    ExpectRefused({"--cors-origin", origin}, "--cors-origin should be as https://chat.example");
  }
}

// Both options: one is refused without the other.
void ShowTls() {
  const std::string folder = NewFolder();
  const std::string certificate = folder + "/certificate.pem";
  const std::string key = folder + "/key.pem";
  const ProgramResult made =
      RunProgram({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                  "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                  "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Served server(NewFolder(), {"--tls-certificate", certificate, "--tls-key", key});
  EXPECT_TRUE(server.url().starts_with("https://")) << server.url();
  const std::string url = fmt::format("https://localhost:{}/v1/chat/completions", server.port());
  const ProgramResult answer =
      RunProgram({"curl", "-s", "--cacert", certificate, "-H", "Content-Type: application/json",
                  "-d", ChatOf("What is Fulmen?").dump(), url});
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_NE(answer.out.find("Fulmen is a program"), std::string::npos) << answer.out;
  EXPECT_EQ(RunProgram({"curl", "-s", url}).exit_code, 60);  // whom it does not know
  const std::string both = "--tls-certificate and --tls-key are of use together only";
  ExpectRefused({"--tls-certificate", certificate}, both);
  ExpectRefused({"--tls-key", key}, both);
  ExpectRefused({"--tls-certificate", key, "--tls-key", key}, "", 1);
}

void ShowConnections() {
  const Served server(NewFolder(), {"--most-connections", "1"});
  const RawClient first = server.Open("GET /health");
  EXPECT_TRUE(Eventually([&] { return StatusText(server.Ask("GET /health")) == "503"; }));
  const RawClient other = Plain().Open("GET /health");
  EXPECT_EQ(StatusText(Plain().Ask("GET /health")), "200");
}

}  // namespace

std::vector<Shown> NetworkOptions() {
  return {
      {{"--host"}, ShowHost},
      {{"--port"}, ShowPort},
      {{"--api-key"}, ShowKeys},
      {{"--api-key-file"}, ShowKeyFile},
      {{"--accounts"}, ShowAccounts},
      {{"--accounts-journal"}, ShowJournal},
      {{"--anyone"}, ShowAnyone},
      {{"--allow-host"}, ShowAllowedHosts},
      {{"--cors-origin"}, ShowCors},
      {{"--tls-certificate", "--tls-key"}, ShowTls},
      {{"--most-connections"}, ShowConnections},
      {{"--body-limit"}, Differs({"--body-limit", "1000"}, StatusOfLongBody, "200", "413")},
  };
}

}  // namespace fulmen::testing
