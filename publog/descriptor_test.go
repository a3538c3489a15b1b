package publog_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/blockstored/blockstored/bundle"
	"github.com/blockstored/blockstored/publog"
)

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func someDescriptor(t testing.TB) publog.Descriptor {
	_, _, vkey := logKey(t, id(2), 7)
	return publog.Descriptor{
		Instance: id(2), Name: "North University", RootKey: public(testKey(1)), LogKeys: []string{vkey},
		RequestKey: public(testKey(2)), Endpoints: []string{"https://north.example:18251", "http://127.0.0.1:18251"},
		ProtocolMin: 1, ProtocolMax: 2, Issued: someTime,
		Successor: &publog.SuccessorBody{Instance: id(5), Fingerprint: digest("root key")},
	}
}

func TestDescriptorsKeepTheirEncoding(t *testing.T) {
	bare := someDescriptor(t)
	bare.Endpoints, bare.Successor = nil, nil
	for name, d := range map[string]publog.Descriptor{"full": someDescriptor(t), "bare": bare} {
		t.Run(name, func(t *testing.T) {
			b, err := publog.SignDescriptor(d, testKey(1))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "descriptor-"+name+".hex", b)
			got, err := publog.ParseDescriptor(b)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, d) {
				t.Errorf("got\n %+v, want\n %+v", got, d)
			}
			if got.Fingerprint() != bundle.DigestOf(public(testKey(1))) {
				t.Errorf("fingerprint %s", got.Fingerprint())
			}
		})
	}
}

func TestDescriptorWithAnyBitFlippedIsRefused(t *testing.T) {
	b, err := publog.SignDescriptor(someDescriptor(t), testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(b) {
		spoiled := bytes.Clone(b)
		spoiled[i/8] ^= 1 << (i % 8)
		if _, err := publog.ParseDescriptor(spoiled); err == nil {
			t.Fatalf("accepted with bit %d flipped", i)
		}
	}
	b[0] ^= 1
	_, err = publog.ParseDescriptor(b)
	wantAlarm(t, err, publog.AlarmAltered)
}

func TestSignatureNeedsTheDescriptorsDomain(t *testing.T) {
	b, err := publog.SignDescriptor(someDescriptor(t), testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	body := b[ed25519.SignatureSize:]
	_, err = publog.ParseDescriptor(append(ed25519.Sign(testKey(1), body), body...))
	wantAlarm(t, err, publog.AlarmAltered)
}

func TestDescriptorRules(t *testing.T) {
	_, _, foreign := logKey(t, id(3), 7)
	for name, spoil := range map[string]func(*publog.Descriptor){
		"no instance":         func(d *publog.Descriptor) { d.Instance = bundle.ID{} },
		"no name":             func(d *publog.Descriptor) { d.Name = "" },
		"a long name":         func(d *publog.Descriptor) { d.Name = strings.Repeat("x", 201) },
		"a control character": func(d *publog.Descriptor) { d.Name = "north\x1b[2J" },
		"no request key":      func(d *publog.Descriptor) { d.RequestKey = nil },
		"no log key":          func(d *publog.Descriptor) { d.LogKeys = nil },
		"a foreign log key":   func(d *publog.Descriptor) { d.LogKeys = []string{foreign} },
		"too many log keys": func(d *publog.Descriptor) {
			for range publog.MaxDescriptorItems {
				d.LogKeys = append(d.LogKeys, d.LogKeys[0])
			}
		},
		"too many endpoints": func(d *publog.Descriptor) {
			for range publog.MaxDescriptorItems {
				d.Endpoints = append(d.Endpoints, d.Endpoints[0])
			}
		},
		"no scheme":        func(d *publog.Descriptor) { d.Endpoints[0] = "north.example:18251" },
		"a file":           func(d *publog.Descriptor) { d.Endpoints[0] = "file:///etc/passwd" },
		"no host":          func(d *publog.Descriptor) { d.Endpoints[0] = "https://:18251" },
		"a password":       func(d *publog.Descriptor) { d.Endpoints[0] = "https://u:p@north.example" },
		"a query":          func(d *publog.Descriptor) { d.Endpoints[0] = "https://north.example/?x=1" },
		"protocol 0":       func(d *publog.Descriptor) { d.ProtocolMin = 0 },
		"an empty range":   func(d *publog.Descriptor) { d.ProtocolMin = 3 },
		"an early time":    func(d *publog.Descriptor) { d.Issued = -1 },
		"half a successor": func(d *publog.Descriptor) { d.Successor.Instance = bundle.ID{} },
		"another root key": func(d *publog.Descriptor) { d.RootKey = public(testKey(3)) },
	} {
		t.Run(name, func(t *testing.T) {
			d := someDescriptor(t)
			spoil(&d)
			_, err := publog.SignDescriptor(d, testKey(1))
			wantKind(t, err, bundle.KindInvalid)
		})
	}
}

func TestLaterDescriptorFieldsAreIgnored(t *testing.T) {
	instance, root, request := id(2), public(testKey(1)), public(testKey(2))
	fields := map[int]any{
		1: 1, 2: instance[:], 3: "North", 4: []byte(root), 5: someDescriptor(t).LogKeys,
		6: []byte(request), 8: 1, 9: 1, 11: 5, 12: "later",
	}
	sign := func() []byte {
		body := encode(fields)
		return append(ed25519.Sign(testKey(1), append([]byte("blockstored-descriptor-v1\n"), body...)), body...)
	}
	if _, err := publog.ParseDescriptor(sign()); err != nil {
		t.Error(err)
	}
	fields[7] = []string{}
	_, err := publog.ParseDescriptor(sign())
	wantKind(t, err, bundle.KindInvalid)
	delete(fields, 7)
	fields[1] = 2
	_, err = publog.ParseDescriptor(sign())
	wantKind(t, err, bundle.KindInvalid)
}

func TestSuccessionOfDescriptors(t *testing.T) {
	old := someDescriptor(t)
	next := old
	next.Name, next.Issued = "Northern University", old.Issued+1
	if err := publog.CheckSuccession(old, next); err != nil {
		t.Errorf("renamed: %v", err)
	}
	if err := publog.CheckSuccession(old, old); err != nil {
		t.Errorf("the same: %v", err)
	}
	if err := publog.CheckSuccession(next, old); !errors.Is(err, publog.ErrStale) {
		t.Errorf("older: %v", err)
	}
	next.RootKey = public(testKey(3))
	wantAlarm(t, publog.CheckSuccession(old, next), publog.AlarmWrongOwner)
	next = old
	next.Instance = id(3)
	wantAlarm(t, publog.CheckSuccession(old, next), publog.AlarmWrongOwner)
}

func FuzzParseDescriptor(f *testing.F) {
	b, err := publog.SignDescriptor(someDescriptor(f), testKey(1))
	if err != nil {
		f.Fatal(err)
	}
	root := testKey(1)
	f.Add(b[ed25519.SignatureSize:])
	f.Add(readGolden(f, "descriptor-bare.hex")[ed25519.SignatureSize:])
	f.Fuzz(func(t *testing.T, body []byte) {
		signature := ed25519.Sign(root, append([]byte("blockstored-descriptor-v1\n"), body...))
		d, err := publog.ParseDescriptor(append(signature, body...))
		if err != nil {
			return
		}
		again, err := publog.SignDescriptor(d, root)
		if err != nil {
			t.Fatalf("parsed, but cannot be signed: %v", err)
		}
		if d2, err := publog.ParseDescriptor(again); err != nil || !reflect.DeepEqual(d, d2) {
			t.Fatalf("%+v became %+v, %v", d, d2, err)
		}
	})
}
