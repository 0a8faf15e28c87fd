// A certificate and keys in files, for tests of TLS.
#pragma once

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

namespace fulmen {

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using File = std::unique_ptr<std::FILE, Free<std::fclose>>;

inline void WriteKey(const PrivateKey& key, const std::string& path) {
  const File file(std::fopen(path.c_str(), "w"));
  ASSERT_EQ(PEM_write_PrivateKey(file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
}

// A certificate that signs itself, its key, and a key that is another's.
class TlsFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    const PrivateKey key(EVP_EC_gen("P-256"));
    const PrivateKey other(EVP_EC_gen("P-256"));
    const Certificate certificate(X509_new());
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* const name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
    {
      const File file(std::fopen(certificate_.c_str(), "w"));
      ASSERT_EQ(PEM_write_X509(file.get(), certificate.get()), 1);
    }
    WriteKey(key, key_);
    WriteKey(other, other_key_);
  }
  void TearDown() override {
    for (const std::string& path : {certificate_, key_, other_key_}) std::filesystem::remove(path);
  }

  const std::string folder_ = ::testing::TempDir() + "fulmen_tls_" + std::to_string(::getpid());
  const std::string certificate_ = folder_ + "_certificate.pem";
  const std::string key_ = folder_ + "_key.pem";
  const std::string other_key_ = folder_ + "_other.pem";
};

}  // namespace fulmen
