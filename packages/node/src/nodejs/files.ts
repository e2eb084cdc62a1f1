/** What a node keeps in files: `@egtp/node/files`. */
export { type FolderLookupOptions, folderLookup } from "./folder-lookup.ts";
export { IdentityFileError, type IdentityFileErrorCode, loadIdentity } from "./identity-file.ts";
