package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var number = regexp.MustCompile(`\d+`)

// versions are the constants behind the version column of formats.md.
var versions = []struct{ format, file, constant string }{
	{"catalog", "catalog/migrate.go", "SchemaVersion"},
	{"command", "catalog/highest.go", "HighestLevel"},
	{"pack", "storage/pack.go", "packFormat"},
	{"claim", "storage/claim.go", "claimFormat"},
	{"recovery", "recover.go", "recoveryFormat"},
	{"manifest", "bundle/page.go", "manifestVersion"},
	{"sealed secret", "access/sealer.go", "sealVersion"},
	{"record", "publog/record.go", "recordFormat"},
	{"descriptor", "publog/descriptor.go", "descriptorFormat"},
	{"peer protocol", "syndication/identity.go", "ProtocolVersion"},
	{"peer protocol", "syndication/wire.go", "wireFormat"},
}

// marks are texts of the code that formats.md must give as they are.
var marks = []struct{ file, constant string }{
	{"folder.go", "folderFormat"},
	{"access/sealer.go", "KeyFile"},
	{"access/sealer.go", "sealContext"},
	{"access/token.go", "TokenPrefix"},
	{"access/url.go", "urlContext"},
	{"cluster/stream.go", "streamMagic"},
	{"cluster/hello.go", "helloMagic"},
	{"cluster/peer.go", "callPropose"},
	{"cluster/peer.go", "callIndex"},
	{"cluster/peer.go", "callStatus"},
	{"cluster/peer.go", "callJoin"},
	{"cluster/peer.go", "callMembers"},
	{"cluster/peer.go", "callCopy"},
	{"cluster/peer.go", "headerTimeout"},
	{"cluster/newcomer.go", "newcomerProtocol"},
	{"cluster/newcomer.go", "callNewcomer"},
	{"cluster/invitation.go", "InvitationPrefix"},
	{"join.go", "welcomeFile"},
	{"recover.go", "recoveryFile"},
	{"access/sealer.go", "SecretClusterAuthority"},
	{"access/sealer.go", "SecretClusterJoinKey"},
	{"cluster/tls.go", "identityScheme"},
	{"storage/claim.go", "ClaimKey"},
	{"syndication/invite.go", "InvitePrefix"},
}

func TestFormatsGiveTheVersionsOfTheCode(t *testing.T) {
	printed := make(map[string]string)
	for line := range strings.Lines(formats(t)) {
		if cells := strings.Split(line, "|"); len(cells) == 7 {
			name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(cells[1]), "["), "]")
			printed[name] = number.FindString(cells[3])
		}
	}
	for _, v := range versions {
		if want := constant(t, v.file, v.constant); printed[v.format] != want {
			t.Errorf("formats.md gives %s version %q, %s of %s is %s", v.format, printed[v.format], v.constant, v.file, want)
		}
	}
}

func TestFormatsGiveTheMarksOfTheCode(t *testing.T) {
	text := formats(t)
	for _, m := range marks {
		quoted := constant(t, m.file, m.constant)
		value, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatal(err)
		}
		if value = strings.TrimRight(value, "\n\x00"); value == "" || !strings.Contains(text, "`"+value) {
			t.Errorf("formats.md does not give %s, %s of %s", quoted, m.constant, m.file)
		}
	}
}

func formats(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("formats.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// constant returns the literal of a constant as it stands in the source.
func constant(t *testing.T, path, name string) (literal string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", filepath.FromSlash(path)), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, ident := range spec.Names {
			if ident.Name != name || i >= len(spec.Values) {
				continue
			}
			if lit, ok := spec.Values[i].(*ast.BasicLit); ok {
				literal = lit.Value
			}
		}
		return true
	})
	if literal == "" {
		t.Fatalf("%s declares no constant %s with a literal", path, name)
	}
	return literal
}
