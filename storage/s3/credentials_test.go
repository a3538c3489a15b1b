package s3

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// isolate hides the keys of whoever runs the tests and returns the path where
// the next are looked for, and a transport on which no metadata service answers.
func isolate(t *testing.T) (path string, tp *tap) {
	path = filepath.Join(t.TempDir(), "credentials")
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE",
		"AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", path)
	t.Setenv("AWS_CONFIG_FILE", path+".config")
	tp = newTap(t)
	tp.set(func(req *http.Request) (*http.Response, error) { return answer(req, http.StatusNotFound), nil }, nil)
	return path, tp
}

func writeKey(t *testing.T, path, id string) {
	t.Helper()
	text := "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = secret\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsFileIsReadAgain(t *testing.T) {
	path, tp := isolate(t)
	now := time.Unix(1_700_000_000, 0)
	c := newCredentials(Config{Now: func() time.Time { return now }}, tp)
	want := func(id string) {
		t.Helper()
		if err := checkCredentials(t.Context(), c, tp); err != nil {
			t.Fatal(err)
		}
		if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != id {
			t.Errorf("key %q, %v; want %q", v.AccessKeyID, err, id)
		}
	}
	writeKey(t, path, "one")
	want("one")
	writeKey(t, path, "two")
	now = now.Add(fileRefresh - 1)
	want("one")
	now = now.Add(1)
	want("two")
}

func TestEnvironmentComesBeforeTheFile(t *testing.T) {
	path, tp := isolate(t)
	writeKey(t, path, "file")
	t.Setenv("AWS_ACCESS_KEY_ID", "environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	v, err := newCredentials(Config{Now: time.Now}, tp).GetWithContext(nil)
	if err != nil || v.AccessKeyID != "environment" {
		t.Errorf("key %q, %v", v.AccessKeyID, err)
	}
}

func TestOpenWithoutAnyKeySaysWhereToPutOne(t *testing.T) {
	_, tp := isolate(t)
	_, err := Open(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Bucket: "bucket", Transport: tp})
	wantKind(t, err, bundle.KindInvalid, "access_key_id", "AWS_ACCESS_KEY_ID", "role")
}

func TestPartsAreFewEnoughAndLargeEnough(t *testing.T) {
	d := &Driver{partSize: minPartSize}
	for _, size := range []int64{singlePutLimit + 1, maxParts * minPartSize, maxParts*minPartSize + 1, 5 << 40} {
		n := d.partLength(size)
		if parts := (size + n - 1) / n; n < minPartSize || n > singlePutLimit || parts > maxParts {
			t.Errorf("%d bytes: %d parts of %d", size, parts, n)
		}
	}
}
