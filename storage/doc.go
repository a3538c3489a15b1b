// Package storage keeps the bytes of blobs. A [Store] lays them over a
// [Driver], a folder or a bucket: small blobs together in packs, larger ones as
// objects of their own. It answers with locations, which the catalog keeps.
//
// The package knows nothing of the catalog, of bundles or of who may read. It
// never holds a large blob in memory, never lists keys to serve a request, never
// overwrites content, and acknowledges nothing that is not durable. Only its
// drivers talk to disks and servers; only storage/s3 imports a vendor's client.
//
// DESIGN.md beside this file states the order of durable steps;
// docs/formats.md describes what lies in the bucket.
package storage
