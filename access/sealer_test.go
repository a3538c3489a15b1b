package access

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/blockstored/blockstored/bundle"
)

func TestSealedSecretOpensUnderItsNameAndKeyOnly(t *testing.T) {
	s, err := NewSealer(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSealer(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.Seal("log-key", []byte("secret"))
	if got, err := s.Open("log-key", sealed); err != nil || string(got) != "secret" {
		t.Fatalf("open: %q, %v", got, err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Error("the secret can be read")
	}
	if _, err := s.Open("url-key", sealed); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Errorf("under another name: %v", err)
	}
	if _, err := other.Open("log-key", sealed); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Errorf("with another key: %v", err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := s.Open("log-key", changed); err == nil {
			t.Errorf("byte %d changed unnoticed", i)
		}
		if _, err := s.Open("log-key", sealed[:i]); err == nil {
			t.Errorf("cut at %d unnoticed", i)
		}
	}
}

// FuzzOpenSealed checks that nothing but what was sealed opens.
func FuzzOpenSealed(f *testing.F) {
	s, err := NewSealer(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(make([]byte, 80))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if secret, err := s.Open("name", sealed); err == nil {
			t.Fatalf("%x opened as %x", sealed, secret)
		}
	})
}

func TestCreateSealerMakesOneKeyForAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	if _, err := LoadSealer(path); !bundle.IsKind(err, bundle.KindNotFound) {
		t.Fatalf("without a key file: %v", err)
	}
	sealers := make([]*Sealer, 8)
	var wg sync.WaitGroup
	for i := range sealers {
		wg.Go(func() {
			s, err := CreateSealer(path)
			if err != nil {
				t.Error(err)
			}
			sealers[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	sealed := sealers[0].Seal("n", []byte("s"))
	for i, s := range sealers {
		if _, err := s.Open("n", sealed); err != nil {
			t.Errorf("sealer %d has another key: %v", i, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Errorf("key file: %v, %v", info, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestLoadSealerRefusesADamagedKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), KeyFile)
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateSealer(path); !bundle.IsKind(err, bundle.KindCorrupt) {
		t.Fatalf("%v", err)
	}
}
