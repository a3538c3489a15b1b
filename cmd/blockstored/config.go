package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/blockstored/blockstored"
	"github.com/blockstored/blockstored/bundle"
)

// envPrefix begins the variable of every key: storage.s3.bucket is
// BLOCKSTORED_STORAGE_S3_BUCKET.
const envPrefix = "BLOCKSTORED_"

// configSource says where the configuration of a node comes from. Later
// sources win: defaults, File, Getenv, Flags.
type configSource struct {
	// File is the path of the YAML file, "" for none.
	File   string
	Getenv func(string) string
	// Flags are the keys given on the command line, by path ("peer.listen").
	Flags map[string]string
	// UID is the user who runs the program, which decides about the default
	// data folder.
	UID int
}

// loadConfig reads the configuration. Errors name the file and line, the
// variable or the flag, and are of [bundle.KindInvalid].
func loadConfig(src configSource) (blockstored.Config, error) {
	cfg := blockstored.DefaultConfig("")
	keys := configKeys(&cfg)
	if src.File != "" {
		raw, err := os.ReadFile(src.File)
		if err != nil {
			return cfg, configFileError(src.File, err)
		}
		if err := keys.decodeYAML(raw); err != nil {
			return cfg, bundle.Errorf(bundle.KindInvalid, "%s: %w", src.File, err)
		}
	}
	if err := keys.applyEnv(src.Getenv); err != nil {
		return cfg, err
	}
	for path, value := range src.Flags {
		if err := keys.set(path, value); err != nil {
			return cfg, bundle.Errorf(bundle.KindInvalid, "command line: %w", err)
		}
	}
	if cfg.Data == "" {
		data, err := defaultData(src.Getenv, src.UID)
		if err != nil {
			return cfg, err
		}
		cfg.Data = data
	}
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return cfg, fmt.Errorf("data folder: %w", err)
	}
	cfg.Data = data
	return cfg, nil
}

func configFileError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return bundle.Errorf(bundle.KindInvalid,
			"there is no configuration file %s: copy config.example.yaml, or leave --config out to run on defaults", name)
	}
	return fmt.Errorf("configuration file: %w", err)
}

// defaultData is where a node keeps its data if nobody says otherwise: the
// user's data folder, and for root the one the systemd unit uses, so that an
// operator's commands find the service without being told.
func defaultData(getenv func(string) string, uid int) (string, error) {
	if uid == 0 {
		return "/var/lib/blockstored", nil
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "blockstored"), nil
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "blockstored"), nil
	}
	return "", usageError{bundle.Errorf(bundle.KindInvalid, "say where the data lies: --data DIR or BLOCKSTORED_DATA")}
}
