// Command drafts lets many clients PATCH and commit a few drafts at once, for a
// while, and then holds what the API shows against all that it acknowledged.
//
//	go run ./bench/drafts [--clients 64] [--drafts 16] [--for 1m] [--race] [--kill-every 4s] [--seed N] [--storage dir|s3] [--json]
//
// The clients share the drafts evenly, and four drafts share a bundle. Each step
// of a client is a PATCH, a commit, a rebase or a reading. A PATCH writes files
// that only this client writes and now and then one that all drafts of the
// bundle write, so commits have to be merged and sometimes conflict; then the
// client makes its draft agree with the newest version and goes on. Each
// change carries an Idempotency-Key of its own. If no answer to it arrives, or
// 503, the client waits until /health/ answers 200 and repeats it with that key
// until it knows the answer. With --kill-every the server is ended with kill -9
// and started again and again meanwhile; with --race it is built with the race
// detector. The exit status is 1 if anything below was not so.
//
// # What must be so
//
// Moments are counted, not measured: sending a change and receiving its answer
// each take the next number. A change takes effect once, at some moment between
// the first sending and the answer that was received last; that is all that an
// answer lost on the way leaves open. A change that was refused has no effect.
//
//   - No answer is 500, and none is a refusal that the client did not ask for: of
//     commits and rebases a conflict at a path that several drafts write, of
//     commits "no changes". A draft read after a PATCH shows the client's own files.
//   - The versions of a bundle are 1 to n, each listed once: no gap, no twin. Each
//     was made by one commit that was acknowledged with its number (the change
//     description says which), and each acknowledged commit made one. A commit
//     that was acknowledged before another was sent has the lower number.
//   - Nothing is lost. The commits of a draft divide its life into spans. A
//     write to a path belongs to a span in which it may have taken effect, so
//     to the one at hand if it was acknowledged after the commit before was and
//     before the next was sent. At the path, the version at the end of
//     the span (after the last commit: the draft) shows that write, or one that
//     may have taken effect after it in the same span.
//   - Nothing comes from nowhere. Where no write to a path belongs to the span,
//     a version shows there what the version before it does, whoever made that,
//     and a draft what its base does. So no commit undoes another.
//   - A write that says what the draft's base says changes nothing: the version
//     then shows what the one before it does. Any version since the draft's last
//     commit may be its base, for a rebase may have moved it.
//
// Contents are compared by hash_digest, which the clients compute themselves. Of
// the newest version and of all drafts the bytes are fetched and hashed, too.
//
// Where several writes to one path overlap in time, any order is taken that each
// span by itself allows. That a read between two writes shows a state between
// them is not looked at.
package main
