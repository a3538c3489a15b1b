package syndication

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/blockstored/blockstored/bundle"
)

// Requests are signed as HTTP Message Signatures (RFC 9421), in one profile:
// the components below in this order, the parameters created, nonce and keyid
// in this order, the label sig1, and no other signature. Blockstored-To names
// the instance that is asked; without it, a peer could pass on to another what
// it was asked itself, and be given what only the asker may see.
const (
	headerTo        = "Blockstored-To"
	headerDigest    = "Content-Digest" // RFC 9530
	headerInput     = "Signature-Input"
	headerSignature = "Signature"
	signatureLabel  = "sig1"
	nonceBytes      = 16
)

var (
	signedFields     = []string{"@method", "@path", "@query", "blockstored-to"}
	signedBodyFields = append(append([]string{}, signedFields...), "content-digest")
)

// signRequest signs req, whose body is body, as a request to instance to. The
// path that is signed is path, which is the URL's without the prefix under
// which a proxy may offer the listener.
func (id *Identity) signRequest(req *http.Request, path string, body []byte, to bundle.ID, now time.Time) {
	var nonce [nonceBytes]byte
	rand.Read(nonce[:]) // never fails: crypto/rand
	signRequest(req, requestSignature{
		key: id.request, keyID: id.ID().String(), path: path, body: body, to: to,
		created: now.Unix(), nonce: base64.RawURLEncoding.EncodeToString(nonce[:]),
	})
}

type requestSignature struct {
	key     ed25519.PrivateKey
	keyID   string
	path    string
	body    []byte
	to      bundle.ID
	created int64
	nonce   string
}

// signRequest sets the headers. The library that verifies could sign as well,
// but reads the system's clock.
func signRequest(req *http.Request, s requestSignature) {
	req.Header.Set(headerTo, s.to.String())
	digest, fields := "", signedFields
	if len(s.body) > 0 {
		sum := sha256.Sum256(s.body)
		digest, fields = "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":", signedBodyFields
		req.Header.Set(headerDigest, digest)
	}
	params := fmt.Sprintf(`("%s");created=%d;nonce="%s";keyid="%s"`, strings.Join(fields, `" "`), s.created, s.nonce, s.keyID)
	signature := ed25519.Sign(s.key, signatureBase(req, s.path, digest, params))
	req.Header.Set(headerInput, signatureLabel+"="+params)
	req.Header.Set(headerSignature, signatureLabel+"=:"+base64.StdEncoding.EncodeToString(signature)+":")
}

// signatureBase returns what is signed (RFC 9421 §2.5), in this profile; digest
// is the Content-Digest header, "" for none.
func signatureBase(req *http.Request, path, digest, params string) []byte {
	values := []string{req.Method, path, "?" + req.URL.RawQuery, req.Header.Get(headerTo), digest}
	fields := signedBodyFields
	if digest == "" {
		fields = signedFields
	}
	var base strings.Builder
	for i, f := range fields {
		fmt.Fprintf(&base, "\"%s\": %s\n", f, values[i])
	}
	base.WriteString("\"@signature-params\": " + params)
	return []byte(base.String())
}
