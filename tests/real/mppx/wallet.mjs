// The keys of payer and payee, and a viem client for the chain at `url`. The keys guard nothing: they exist on this chain only.
import { CHAIN } from "./chain.mjs"
import { installed } from "./package.mjs"

const { createClient, defineChain, http } = await installed("viem")
const { privateKeyToAccount } = await installed("viem/accounts")

/** What is paid with; decimals are 0, so amounts are counts of items. */
export const CURRENCY = "0x20c0000000000000000000000000000000000001"

/** An account whose key are these hexadecimal digits, as often as they fit. */
export const account = (digits) => privateKeyToAccount(`0x${digits.repeat(64 / digits.length)}`)

export function client(account, url) {
  const nativeCurrency = { name: "T", symbol: "T", decimals: 18 }
  const chain = defineChain({ id: CHAIN, name: "stand-in", nativeCurrency, rpcUrls: { default: { http: [url] } } })
  return createClient({ account, chain, transport: http(url), pollingInterval: 50 })
}
