package main

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
)

const exampleFile = "../../config.example.yaml"

func noEnv(string) string { return "" }

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestExampleConfigHoldsEveryKeyWithItsDefault(t *testing.T) {
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	defaults := blockstored.DefaultConfig("")
	cfg := blockstored.Config{}
	keys := configKeys(&cfg)
	d := yamlDecoder{keys: keys, seen: map[string]bool{}}
	if err := decodeWith(&d, raw); err != nil {
		t.Fatal(err)
	}
	want := configKeys(&defaults)
	for _, path := range want.paths {
		if !d.seen[path] {
			t.Errorf("%s: not in %s", path, exampleFile)
			continue
		}
		got, want := keys.values[path].Interface(), want.values[path].Interface()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the example has %v, the default is %v", path, got, want)
		}
	}
}

func TestExampleConfigExplainsEveryKey(t *testing.T) {
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	before := ""
	for i, text := range strings.Split(string(raw), "\n") {
		trimmed := strings.TrimSpace(text)
		isKey := trimmed != "" && !strings.HasPrefix(trimmed, "#")
		group := isKey && strings.HasSuffix(trimmed, ":")
		if isKey && !group && !strings.HasPrefix(before, "#") {
			t.Errorf("%s:%d: no comment above %q", exampleFile, i+1, trimmed)
		}
		before = trimmed
	}
}

func TestEverySecretIsAKey(t *testing.T) {
	var cfg blockstored.Config
	keys := configKeys(&cfg)
	for _, s := range secretKeys {
		if v, ok := keys.values[s]; !ok || v.Kind() != reflect.String {
			t.Errorf("%s is not a key that holds text", s)
		}
	}
}

func TestEveryKeyCanBeSetFromTheEnvironment(t *testing.T) {
	vars := map[string]string{}
	var shape blockstored.Config
	keys := configKeys(&shape)
	for _, path := range keys.paths {
		v := keys.values[path]
		switch {
		case v.Type() == durationType:
			vars[envName(path)] = "37s"
		case v.Kind() == reflect.Int64:
			vars[envName(path)] = "37"
		case v.Kind() == reflect.Bool:
			vars[envName(path)] = "true"
		default:
			vars[envName(path)] = "thirty-seven"
		}
	}
	got := blockstored.DefaultConfig("")
	set := configKeys(&got)
	if err := set.applyEnv(env(vars)); err != nil {
		t.Fatal(err)
	}
	for _, path := range set.paths {
		switch v := set.values[path].Interface().(type) {
		case time.Duration:
			if v != 37*time.Second {
				t.Errorf("%s = %v", path, v)
			}
		case int64:
			if v != 37 {
				t.Errorf("%s = %v", path, v)
			}
		case bool:
			if !v {
				t.Errorf("%s = %v", path, v)
			}
		case []string:
			if !reflect.DeepEqual(v, []string{"thirty-seven"}) {
				t.Errorf("%s = %v", path, v)
			}
		case string:
			if v != "thirty-seven" {
				t.Errorf("%s = %v", path, v)
			}
		default:
			t.Errorf("%s has type %T, which this test does not know", path, v)
		}
	}
}

func TestSourcesOverrideEachOther(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "c.yaml", "data: /from/file\nlisten: file:1\npeer:\n  listen: file:2\nname: file\nstorage: {min_free: 1GiB}\n")
	cfg, err := loadConfig(configSource{
		File:   file,
		Getenv: env(map[string]string{"BLOCKSTORED_LISTEN": "env:1", "BLOCKSTORED_PEER_LISTEN": "env:2", "BLOCKSTORED_TEST_NOSKIP": "1"}),
		Flags:  map[string]string{"peer.listen": "flag:2"},
		UID:    1000,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := blockstored.DefaultConfig("/from/file")
	want.Name, want.Listen, want.Peer.Listen, want.Storage.MinFree = "file", "env:1", "flag:2", 1<<30
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
}

func TestListsAreReadFromFileAndEnvironment(t *testing.T) {
	for name, src := range map[string]configSource{
		"block":       {File: write(t, t.TempDir(), "c.yaml", "peer:\n  addresses:\n  - https://a\n  - https://b\n"), Getenv: noEnv},
		"flow":        {File: write(t, t.TempDir(), "c.yaml", "peer: {addresses: [https://a, https://b]}\n"), Getenv: noEnv},
		"environment": {Getenv: env(map[string]string{"BLOCKSTORED_PEER_ADDRESSES": "https://a, https://b"})},
	} {
		cfg, err := loadConfig(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := []string{"https://a", "https://b"}; !reflect.DeepEqual(cfg.Peer.Addresses, want) {
			t.Errorf("%s: got %q", name, cfg.Peer.Addresses)
		}
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	secret := write(t, dir, "secret", "hush\n")
	for name, src := range map[string]configSource{
		"file":        {File: write(t, dir, "c.yaml", "storage: {s3: {secret_access_key_file: "+secret+"}}\n"), Getenv: noEnv},
		"environment": {Getenv: env(map[string]string{"BLOCKSTORED_STORAGE_S3_SECRET_ACCESS_KEY_FILE": secret})},
	} {
		cfg, err := loadConfig(src)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if cfg.Storage.S3.SecretAccessKey != "hush" {
			t.Errorf("%s: got %q", name, cfg.Storage.S3.SecretAccessKey)
		}
	}
}

func TestBadConfigIsRefusedWithItsPlace(t *testing.T) {
	tests := []struct {
		name, yaml string
		vars       map[string]string
		want       string // part of the message
	}{
		{"unknown key", "name: x\nlisen: 1\n", nil, `line 2: there is no key "lisen"; did you mean "listen"?`},
		{"unknown key in a group", "storage:\n  s3:\n    buckt: b\n", nil, `line 3: there is no key "storage.s3.buckt"; did you mean "storage.s3.bucket"?`},
		{"key at the wrong level", "poll_wait: x\n", nil, `did you mean "peer.poll_wait"?`},
		{"twice", "name: x\nname: y\n", nil, "name"},
		{"no value", "listen:\n", nil, `line 1: listen has no plain value`},
		{"group for value", "listen:\n  addr: x\n", nil, `line 1: listen has no plain value`},
		{"value for group", "storage: s3\n", nil, "line 1: keys are expected here"},
		{"list for value", "name: [a]\n", nil, "name: takes one value"},
		{"list at the top", "- a\n", nil, "line 1: keys are expected here"},
		{"bad duration", "files:\n  url_expiry: 24\n", nil, `line 2: files.url_expiry: "24" is not a duration`},
		{"bad size", "storage: {cache: 64MB}\n", nil, `"64MB" is not a number of bytes`},
		{"negative size", "storage: {cache: -1}\n", nil, `"-1" is not a number of bytes`},
		{"bad bool", "peer: {allow_insecure: yes please}\n", nil, "neither true nor false"},
		{"alias", "name: &n x\nlisten: *n\n", nil, "plain value"},
		{"two documents", "name: x\n---\nname: y\n", nil, "several documents"},
		{"not YAML", "name: [\n", nil, "not YAML"},
		{"secret twice", "storage: {s3: {secret_access_key: a, secret_access_key_file: b}}\n", nil, "not both"},
		{"secret file missing", "storage: {s3: {secret_access_key_file: /does/not/exist}}\n", nil, "no such file"},
		{"bad variable", "", map[string]string{"BLOCKSTORED_STORAGE_CACHE": "lots"}, "environment, BLOCKSTORED_STORAGE_CACHE: storage.cache"},
		{"secret twice in variables", "", map[string]string{
			"BLOCKSTORED_STORAGE_S3_SECRET_ACCESS_KEY": "a", "BLOCKSTORED_STORAGE_S3_SECRET_ACCESS_KEY_FILE": "b"}, "not both"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, t.TempDir(), "c.yaml", tt.yaml)
			_, err := loadConfig(configSource{File: file, Getenv: env(tt.vars)})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %q\nwant something with %q", err, tt.want)
			}
			if !bundle.IsKind(err, bundle.KindInvalid) {
				t.Errorf("kind %v", bundle.KindOf(err))
			}
		})
	}
}

func TestDefaultDataFolderIsTheUsers(t *testing.T) {
	tests := []struct {
		vars map[string]string
		uid  int
		want string
	}{
		{map[string]string{"HOME": "/home/u"}, 1000, "/home/u/.local/share/blockstored"},
		{map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "/x"}, 1000, "/x/blockstored"},
		{map[string]string{"HOME": "/home/u", "XDG_DATA_HOME": "relative"}, 1000, "/home/u/.local/share/blockstored"},
		{map[string]string{"HOME": "/root"}, 0, "/var/lib/blockstored"},
		{map[string]string{}, 1000, ""},
	}
	for _, tt := range tests {
		got, err := defaultData(env(tt.vars), tt.uid)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%v: got %q, %v; want %q", tt.vars, got, err, tt.want)
		}
	}
}

func FuzzConfigFile(f *testing.F) {
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("storage: {s3: {bucket: b}}\npeer:\n  addresses:\n  - x\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var cfg blockstored.Config
		keys := configKeys(&cfg)
		if strings.Contains(string(raw), fileSuffix) {
			return // reading whatever file the fuzzer names is not the point
		}
		if err := keys.decodeYAML(raw); err != nil && !bundle.IsKind(err, bundle.KindInvalid) {
			t.Errorf("kind %v: %v", bundle.KindOf(err), err)
		}
	})
}

func decodeWith(d *yamlDecoder, raw []byte) error {
	err := d.decode(raw)
	maps.DeleteFunc(d.seen, func(path string, _ bool) bool { return d.keys.groups[path] })
	return err
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
