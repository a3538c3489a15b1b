#!/usr/bin/env python3
"""The life of a bundle, as a host application sees it: over HTTP, with `requests` alone.

    BLOCKSTORED_TOKEN=... python3 life.py

BLOCKSTORED_SERVER is http://127.0.0.1:18250 unless it says otherwise; the token's role is
writer. Everything that is made is deleted again. Exits with 1 on any answer that is not
the expected one.
"""

import base64
import hashlib
import os
import sys
import uuid
from urllib.parse import quote, urljoin

import requests


class Unexpected(Exception):
    """The server did not answer as its API promises."""


class Blockstored:
    """A session with one server. Paths are below /api/v1/; whole URLs are taken, too."""

    def __init__(self, server, token):
        self.base = server.rstrip("/") + "/api/v1/"
        self.http = requests.Session()
        self.http.trust_env = False  # a ~/.netrc would replace the token
        self.http.headers["Authorization"] = "Token " + token

    def __call__(self, method, path, expect, **kwargs):
        answer = self.http.request(method, urljoin(self.base, path), timeout=60, **kwargs)
        if answer.status_code != expect:
            raise Unexpected(f"{method} {path}: {answer.status_code} instead of {expect}: {answer.text[:500]}")
        return answer


def check(what, holds):
    """Like assert, which `python3 -O` would leave out."""
    if not holds:
        raise Unexpected(what)


def inline(text):
    """A small file as PATCH takes it."""
    return base64.b64encode(text.encode()).decode()


def lecture(megabytes, digest):
    """A larger file, made as it is sent; no more than one piece is in memory."""
    for i in range(megabytes):
        piece = bytes([i % 251]) * 2**20
        digest.update(piece)
        yield piece


def live(api):
    # A collection holds bundles, a bundle is edited in drafts.
    collection = api("POST", "collections", 201, json={"title": "Physics"}).json()
    bundle = new_bundle(api, collection, "Mechanics")
    draft = api("POST", "drafts", 201, json={"bundle_uuid": bundle["uuid"], "name": "studio"}).json()
    print("made the collection, the bundle and a draft of it")

    # Small files go together, as base64. null would delete one.
    api("PATCH", draft["url"], 204, json={"files": {"unit.xml": inline("<unit/>"), "notes.txt": inline("one\n")}})
    # A large one goes alone and as it is, from any iterator or open file.
    path, digest = "média/lecture 1.bin", hashlib.blake2b(digest_size=20)
    api("PUT", f"drafts/{draft['uuid']}/files/{quote(path)}", 204, data=lecture(24, digest))
    print("staged two small files and one of 24 MiB")

    # A commit makes the next version, whole or not at all. With a key it can be sent again
    # when its answer got lost, and makes no second version.
    key = {"Idempotency-Key": str(uuid.uuid4())}
    committed = api("POST", f"drafts/{draft['uuid']}/commit", 201, headers=key, json={"change_description": "First"}).json()
    again = api("POST", f"drafts/{draft['uuid']}/commit", 201, headers=key, json={"change_description": "First"}).json()
    check("a repeated commit made another version", again == committed)
    first = api("GET", committed["bundle_version"], 200).json()
    files = first["snapshot"]["files"]
    check(f"version 1 has {list(files)}", list(files) == [path, "notes.txt", "unit.xml"])
    check("the digest of the large file is another", files[path]["hash_digest"] == digest.hexdigest())
    print("committed version 1:", ", ".join(f"{name} ({file['size']} bytes)" for name, file in files.items()))

    download(files[path], digest.hexdigest())
    second = merge(api, bundle, draft)
    changes = api("GET", f"bundle_versions/{bundle['uuid']},1/diff/{second}", 200).json()["files"]
    check(f"versions 1 and {second} differ by {changes}", [f["path"] for f in changes["changed"]] == ["notes.txt"])
    print(f"from version 1 to {second} only notes.txt changed")

    link(api, collection, bundle, second)
    find(api, collection)
    leave(api, collection, bundle)


def new_bundle(api, collection, title):
    fields = {"collection_uuid": collection["uuid"], "title": title, "slug": title.lower()}
    return api("POST", "bundles", 201, json=fields).json()


def download(file, digest):
    """The URL of a file needs no token for as long as it is valid: a browser may have it."""
    computed = hashlib.blake2b(digest_size=20)
    with requests.get(file["url"], stream=True, timeout=60) as answer:
        check(f"{file['url']}: {answer.status_code}", answer.status_code == 200)
        for piece in answer.iter_content(2**16):
            computed.update(piece)
    check("the download has other bytes", computed.hexdigest() == digest)
    part = requests.get(file["url"], headers={"Range": "bytes=1048574-1048577"}, timeout=60)
    check(f"range: {part.status_code} {part.content!r}", (part.status_code, part.content) == (206, b"\0\0\1\1"))
    print("downloaded the large file by its URL, and four bytes from its middle")


def merge(api, bundle, draft):
    """Two drafts change one file. The second to be committed learns of it, and merges."""
    mine = api("POST", "drafts", 201, json={"bundle_uuid": bundle["uuid"], "name": "mine"}).json()
    api("PATCH", draft["url"], 204, json={"files": {"notes.txt": inline("one\ntheirs\n")}})
    api("PATCH", mine["url"], 204, json={"files": {"notes.txt": inline("one\nmine\n")}})
    api("POST", f"drafts/{draft['uuid']}/commit", 201)
    refused = api("POST", f"drafts/{mine['uuid']}/commit", 409).json()
    check(f"conflicts: {refused}", refused["conflicts"] == [{"path": "notes.txt", "kind": "changed"}])
    print("a conflict:", refused["detail"])

    # Nothing is lost, and nothing half done: take the newest, put one's own on top.
    newest = api("GET", bundle["url"], 200).json()["versions"][-1]
    theirs = api("GET", newest + "/files/notes.txt", 200).text
    api("DELETE", mine["url"], 204)
    mine = api("POST", "drafts", 201, json={"bundle_uuid": bundle["uuid"], "name": "mine"}).json()
    api("PATCH", mine["url"], 204, json={"files": {"notes.txt": inline(theirs + "mine\n")}})
    newest = api("POST", f"drafts/{mine['uuid']}/commit", 201).json()["bundle_version"]
    check("the merged file", api("GET", newest + "/files/notes.txt", 200).text == "one\ntheirs\nmine\n")
    number = int(newest.rpartition(",")[2])
    print(f"merged as version {number}")
    return number


def link(api, collection, library, version):
    """A version of one bundle uses a version of another; which one never changes."""
    course = new_bundle(api, collection, "Course")
    draft = api("POST", "drafts", 201, json={"bundle_uuid": course["uuid"], "name": "studio"}).json()
    api("PATCH", draft["url"], 204, json={"links": {"mechanics": {"bundle_uuid": library["uuid"], "version": version}}})
    committed = api("POST", f"drafts/{draft['uuid']}/commit", 201).json()
    links = api("GET", committed["bundle_version"], 200).json()["snapshot"]["links"]
    check(f"links: {links}", links["mechanics"]["direct"]["version"] == version)
    borrowers = api("GET", f"bundles/{library['uuid']}/borrowers", 200).json()
    check(f"borrowers: {borrowers}", [b["bundle_uuid"] for b in borrowers] == [course["uuid"]])
    print(f"linked version 1 of another bundle to version {version} of this one")


def find(api, collection):
    """Lists are whole, or come in pages that name the next one."""
    for i in range(5):
        new_bundle(api, collection, f"Exercise-{i}")
    query = {"collection__uuid": collection["uuid"], "text_search": "EXERCISE"}
    whole = api("GET", "bundles", 200, params=query).json()
    paged, answer = [], api("GET", "bundles", 200, params={**query, "limit": 2})
    while True:
        paged += answer.json()
        if "next" not in answer.links:
            break
        answer = api("GET", answer.links["next"]["url"], 200)
    check(f"{len(whole)} found, {len(paged)} in pages", len(whole) == 5 and paged == whole)
    print(f"found {len(whole)} bundles by a search, the same in pages of 2")


def leave(api, collection, bundle):
    """What is deleted is gone from the API at once, a collection with all that it holds."""
    api("DELETE", bundle["url"], 204)
    api("GET", bundle["url"], 404)
    api("DELETE", collection["url"], 204)
    left = api("GET", "bundles", 200, params={"collection__uuid": collection["uuid"]}).json()
    check(f"left: {left}", left == [])
    print("deleted it all")


def main():
    token = os.environ.get("BLOCKSTORED_TOKEN")
    if not token:
        print("life.py: set BLOCKSTORED_TOKEN: `blockstored token create NAME --role writer` makes one", file=sys.stderr)
        return 1
    try:
        live(Blockstored(os.environ.get("BLOCKSTORED_SERVER", "http://127.0.0.1:18250"), token))
    except (Unexpected, requests.RequestException) as problem:
        print("life.py:", problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
