package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
)

// secretKeys are the keys whose value may also stand in a file of its own,
// named by the key with "_file" behind it.
var secretKeys = []string{"storage.s3.access_key_id", "storage.s3.secret_access_key", "cluster.join"}

const fileSuffix = "_file"

// keySet is every key of a configuration, by path, with the place of its value.
type keySet struct {
	paths  []string // in the order of the struct
	values map[string]reflect.Value
	groups map[string]bool // paths that have keys below them
}

// configKeys lists the keys of cfg by the yaml tags of its fields. Setting a
// key writes to cfg.
func configKeys(cfg *blockstored.Config) *keySet {
	keys := &keySet{values: map[string]reflect.Value{}, groups: map[string]bool{}}
	keys.add("", reflect.ValueOf(cfg).Elem())
	return keys
}

func (k *keySet) add(prefix string, v reflect.Value) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		path := prefix + name
		if v.Field(i).Kind() == reflect.Struct {
			k.groups[path] = true
			k.add(path+".", v.Field(i))
			continue
		}
		k.paths = append(k.paths, path)
		k.values[path] = v.Field(i)
	}
}

// secretOf returns the key that path is the file of, "" if it is none.
func secretOf(path string) string {
	base, ok := strings.CutSuffix(path, fileSuffix)
	if ok && slices.Contains(secretKeys, base) {
		return base
	}
	return ""
}

// set gives the key its value, read from text as every source has it. The
// path of a secret's file reads the secret from there.
func (k *keySet) set(path, text string) error {
	if base := secretOf(path); base != "" {
		if text == "" {
			return nil
		}
		secret, err := os.ReadFile(text)
		if err != nil {
			return bundle.Errorf(bundle.KindInvalid, "%s: %w", path, err)
		}
		return k.set(base, strings.TrimSpace(string(secret)))
	}
	v, ok := k.values[path]
	if !ok {
		return k.unknown(path)
	}
	if err := setValue(v, text); err != nil {
		return bundle.Errorf(bundle.KindInvalid, "%s: %w", path, err)
	}
	return nil
}

// setList gives a key that takes several values its values.
func (k *keySet) setList(path string, items []string) error {
	v, ok := k.values[path]
	switch {
	case !ok:
		return k.unknown(path)
	case v.Kind() != reflect.Slice:
		return bundle.Errorf(bundle.KindInvalid, "%s: takes one value, not a list", path)
	}
	v.Set(reflect.ValueOf(items))
	return nil
}

// unknown names the key closest to the unknown one.
func (k *keySet) unknown(path string) error {
	candidates := slices.Clone(k.paths)
	for _, s := range secretKeys {
		candidates = append(candidates, s+fileSuffix)
	}
	for g := range k.groups {
		candidates = append(candidates, g)
	}
	slices.Sort(candidates)
	best, distance := "", -1
	for _, c := range candidates {
		// A good name in the wrong group is one step away.
		d := min(editDistance(path, c), 1+editDistance(lastName(path), lastName(c)))
		if distance < 0 || d < distance {
			best, distance = c, d
		}
	}
	return bundle.Errorf(bundle.KindInvalid, "there is no key %q; did you mean %q?", path, best)
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// applyEnv sets every key whose variable is not empty.
func (k *keySet) applyEnv(getenv func(string) string) error {
	for _, path := range k.paths {
		value := getenv(envName(path))
		if slices.Contains(secretKeys, path) {
			file := getenv(envName(path + fileSuffix))
			if value != "" && file != "" {
				return bundle.Errorf(bundle.KindInvalid, "give %s or %s, not both", envName(path), envName(path+fileSuffix))
			}
			if err := k.set(path+fileSuffix, file); err != nil {
				return bundle.Errorf(bundle.KindInvalid, "environment: %w", err)
			}
		}
		if value == "" {
			continue
		}
		if err := k.set(path, value); err != nil {
			return bundle.Errorf(bundle.KindInvalid, "environment, %s: %w", envName(path), err)
		}
	}
	return nil
}

// envName returns the variable of a key.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

var durationType = reflect.TypeFor[time.Duration]()

// setValue reads text as a value of v's type: a duration (90s, 10m), a size in
// bytes (1048576, 1MiB), true or false, text, or a list separated by commas.
func setValue(v reflect.Value, text string) error {
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration; write it like 90s, 10m or 24h", text)
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.Int64:
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		v.SetInt(n)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		v.Set(reflect.ValueOf(items))
	default:
		return fmt.Errorf("a value of type %s cannot be set", v.Type())
	}
	return nil
}

// parseSize reads a number of bytes with an optional binary unit.
func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = strings.TrimSpace(n), int64(1)<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is not a number of bytes; write it like 1048576 or 256MiB", text)
	}
	return n * unit, nil
}

// editDistance is the least number of bytes to insert, delete or change to get
// from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
