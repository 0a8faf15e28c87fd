// Options of `fulmen serve` that say which images are taken.
#include <gtest/gtest.h>

#include <functional>

#include "base/base64.h"
#include "serve/testing/http_client.h"
#include "tests/e2e/serve_options.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

const std::string& Picture() {
  static const std::string bytes = ReadFileOrDie(SourcePath("tests/golden/vl/images/small.png"));
  return bytes;
}

// The status of a chat about the picture at `url`.
int StatusOf(const Served& server, const std::string& url) {
  const Json body = {{"max_tokens", 1},
                     {"messages",
                      {{{"role", "user"},
                        {"content",
                         {{{"type", "image_url"}, {"image_url", {{"url", url}}}},
                          {{"type", "text"}, {"text", "What is it?"}}}}}}}};
  return server.Ask("POST /v1/chat/completions", body.dump(), "Content-Type: application/json\r\n")
      .status;
}

std::string DataUrl() { return "data:image/png;base64," + EncodeBase64(Picture()); }

void ShowImageHosts() {
  const auto respond = [](Exchange& exchange, const PathValues&) -> boost::asio::awaitable<void> {
    HttpResponse response{.content_type = "image/png", .body = Picture()};
    co_await exchange.Respond(std::move(response));
  };
  const TestServer pictures({}, {{.method = "GET", .path = "/small.png", .handler = respond}});
  const std::string host = fmt::format("127.0.0.1:{}", pictures.port());
  const std::string url = "http://" + host + "/small.png";
  const Served none(NewFolder(), {"-m", VisionModel()});
  EXPECT_EQ(StatusOf(none, DataUrl()), 200);
  EXPECT_EQ(StatusOf(none, url), 400);
  const Served host_alone(NewFolder(), {"-m", VisionModel(), "--image-host", host});
  EXPECT_EQ(StatusOf(host_alone, url), 400);
  const Served both(NewFolder(),
                    {"-m", VisionModel(), "--image-host", host, "--image-private-addresses"});
  EXPECT_EQ(StatusOf(both, url), 200);
  ExpectRefused({"--image-host", "https://images.example/"}, "--image-host");
}

std::function<void()> Bounds(const std::string& option, const std::string& enough,
                             const std::string& less) {
  return [=] {
    EXPECT_EQ(StatusOf(Served(NewFolder(), {"-m", VisionModel(), option, enough}), DataUrl()), 200);
    EXPECT_EQ(StatusOf(Served(NewFolder(), {"-m", VisionModel(), option, less}), DataUrl()), 400);
  };
}

}  // namespace

std::vector<Shown> ImageOptions() {
  const auto bytes = static_cast<int64_t>(Picture().size());
  constexpr int64_t kPixels = 37 * 29;
  return {
      {{"--image-host", "--image-private-addresses"}, ShowImageHosts},
      {{"--image-bytes"},
       Bounds("--image-bytes", std::to_string(bytes), std::to_string(bytes - 1))},
      {{"--image-pixels"},
       Bounds("--image-pixels", std::to_string(kPixels), std::to_string(kPixels - 1))},
  };
}

}  // namespace fulmen::testing
