#include "security/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "security/credential_source.h"
#include "security/keyed_hash.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1900000000);  // 2030-03-17

Credentials Made() { return MakeCredentials(kNow, kJobValidity); }

class CredentialFolder : public testing::Test {
 protected:
  CredentialFolder() {
    char pattern[] = "/tmp/sluice-credentials-XXXXXX";
    directory_ = std::string(mkdtemp(pattern)) + "/made";
  }
  std::string Path(const char* name) const { return directory_ + "/" + name; }
  int Mode(const std::string& path) const {
    struct stat status;
    return stat(path.c_str(), &status) == 0 ? static_cast<int>(status.st_mode & 0777) : -1;
  }
  void Overwrite(const char* name, const std::string& text) { std::ofstream(Path(name)) << text; }

  std::string directory_;
};

TEST(CredentialsTest, MadeOnesFitAndDifferFromEachOther) {
  const Credentials first = Made(), second = Made();
  EXPECT_TRUE(CheckCredentials(first, kNow).ok()) << CheckCredentials(first, kNow);
  EXPECT_NE(first.token, second.token);
  EXPECT_NE(first.private_key, second.private_key);
  EXPECT_NE(first.authority, second.authority);
}

TEST(CredentialsTest, ExpiredOnesAreNamedWithTheirDate) {
  const absl::Status status = CheckCredentials(Made(), kNow + kJobValidity + absl::Seconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()), HasSubstr("expired on 2030-04-16"));
}

TEST(CredentialsTest, AClockThatIsAnHourBehindDoesNotMatterMoreDoes) {
  EXPECT_TRUE(CheckCredentials(Made(), kNow - absl::Minutes(59)).ok());
  const absl::Status status = CheckCredentials(Made(), kNow - absl::Minutes(61));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not valid before 2030-03-17"));
}

TEST(CredentialsTest, PartsOfDifferentOnesDoNotFit) {
  Credentials other_key = Made();
  other_key.private_key = Made().private_key;
  EXPECT_THAT(std::string(CheckCredentials(other_key, kNow).message()),
              HasSubstr("not that of the certificate"));
  Credentials other_authority = Made();
  other_authority.authority = Made().authority;
  EXPECT_THAT(std::string(CheckCredentials(other_authority, kNow).message()),
              HasSubstr("did not sign"));
}

TEST(CredentialsTest, ParseInvertsSerialize) {
  const Credentials made = Made();
  const auto parsed = ParseCredentials(Serialize(made));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->authority, made.authority);
  EXPECT_EQ(parsed->certificate, made.certificate);
  EXPECT_EQ(parsed->private_key, made.private_key);
  EXPECT_EQ(parsed->token, made.token);
}

TEST(CredentialsTest, EveryTruncationIsRefused) {
  const std::string bytes = Serialize(Made());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_EQ(ParseCredentials(bytes.substr(0, n)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << "kept " << n << " bytes";
  }
}

TEST(CredentialsTest, WhatIsTooLongIsRefused) {
  Credentials made = Made();
  made.certificate.resize(kMaxPemBytes + 1, 'x');
  EXPECT_THAT(std::string(ParseCredentials(Serialize(made)).status().message()),
              HasSubstr("the certificate has 8193 bytes"));
  EXPECT_EQ(ParseCredentials(std::string(kMaxCredentialBytes + 1, '\n')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(KeyedHashTest, AgreesWithRfc4231AndRfc5869) {
  EXPECT_EQ(absl::BytesToHexString(KeyedHash("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // Test case 3 of RFC 5869: no salt, no info, first 32 bytes.
  EXPECT_EQ(absl::BytesToHexString(DeriveKey(std::string(22, '\x0b'), "")),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

TEST(KeyedHashTest, SecretsAreTheSameOnlyWhenAllBytesAre) {
  EXPECT_TRUE(SameSecret("abc", "abc"));
  EXPECT_FALSE(SameSecret("abc", "abd"));
  EXPECT_FALSE(SameSecret("abc", "ab"));
}

TEST_F(CredentialFolder, IsForItsOwnerAloneAndIsReadBack) {
  const Credentials made = Made();
  ASSERT_TRUE(WriteCredentials(directory_, made).ok());
  EXPECT_EQ(Mode(directory_), 0700);
  EXPECT_EQ(Mode(Path("key.pem")), 0600);
  EXPECT_EQ(Mode(Path("token")), 0600);
  const auto read = LoadCredentials(directory_, kNow);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(Serialize(*read), Serialize(made));
}

TEST_F(CredentialFolder, ThatExistsIsNotWrittenTo) {
  ASSERT_EQ(mkdir(directory_.c_str(), 0755), 0);
  EXPECT_EQ(WriteCredentials(directory_, Made()).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Mode(directory_), 0755);
}

TEST_F(CredentialFolder, SecretsThatOthersCanReadAreRefused) {
  ASSERT_TRUE(WriteCredentials(directory_, Made()).ok());
  for (const char* name : {"key.pem", "token"}) {
    for (mode_t mode : {0640, 0604, 0660}) {
      ASSERT_EQ(chmod(Path(name).c_str(), mode), 0);
      const absl::Status status = LoadCredentials(directory_, kNow).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
      EXPECT_THAT(std::string(status.message()), HasSubstr(Path(name) + " can be used by others"));
    }
    ASSERT_EQ(chmod(Path(name).c_str(), 0400), 0);
  }
  ASSERT_EQ(chmod(Path("ca.pem").c_str(), 0644), 0);  // no secret
  EXPECT_TRUE(LoadCredentials(directory_, kNow).ok());
}

TEST_F(CredentialFolder, MissingAndDamagedFilesAreNamed) {
  ASSERT_TRUE(WriteCredentials(directory_, Made()).ok());
  Overwrite("token", "12 34\n");
  EXPECT_THAT(std::string(LoadCredentials(directory_, kNow).status().message()),
              HasSubstr("token: expected 64 hexadecimal digits"));
  Overwrite("token", std::string(kMaxPemBytes + 1, '0'));
  EXPECT_THAT(std::string(LoadCredentials(directory_, kNow).status().message()),
              HasSubstr("token is longer than"));
  ASSERT_EQ(unlink(Path("token").c_str()), 0);
  EXPECT_EQ(LoadCredentials(directory_, kNow).status().code(), absl::StatusCode::kNotFound);
  Overwrite("key.pem", "not PEM");
  EXPECT_FALSE(LoadCredentials(directory_, kNow).ok());
}

TEST_F(CredentialFolder, ExpiredOnesAreToldWithTheFolderAndTheDate) {
  ASSERT_TRUE(WriteCredentials(directory_, Made()).ok());
  const absl::Status status =
      LoadCredentials(directory_, kNow + kJobValidity + absl::Seconds(1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(status.message()), HasSubstr("SL1080 credentials in " + directory_));
  EXPECT_THAT(std::string(status.message()), HasSubstr("expired on 2030-04-16"));
}

TEST_F(CredentialFolder, NoFolderGivenSaysHowToMakeOne) {
  EXPECT_THAT(std::string(LoadCredentials("", kNow).status().message()),
              HasSubstr("orchestrator credentials DIR"));
}

}  // namespace
}  // namespace sluice
