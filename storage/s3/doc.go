// Package s3 keeps objects in a bucket of any store that speaks the S3
// protocol. It is the only importer of minio-go.
//
// Every PUT carries the SHA-256 of its bytes twice, both times in a signed
// header: as x-amz-content-sha256, part of the request's signature, and as
// x-amz-checksum-sha256, which the store keeps. Nothing is sent as a trailer:
// some stores refuse trailers over plain http. Keys name content, so an object
// is created with If-None-Match: * and a refusal (412) is followed by a look at
// what is there. Small mutable objects are replaced with If-Match.
//
// It must never list on the path of a request, overwrite an object that names
// content, or tell "not found" from a failure by a text. The bucket must grant
// GetObject, PutObject, DeleteObject, AbortMultipartUpload and ListBucket:
// without the last, stores answer 403 for an absent object.
package s3
