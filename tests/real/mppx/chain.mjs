// The escrow of a Tempo chain as JSON-RPC, as far as mppx asks for it: channels, their deposits and settlements.
// Nothing is verified but what the escrow itself decides: no fees, no balances, no blocks that could fail.
import { installed } from "./package.mjs"
import { read, write } from "./files.mjs"

const { decodeFunctionData, encodeAbiParameters, encodeEventTopics, encodeFunctionResult, keccak256, toFunctionSelector } = await installed("viem")
const { Transaction } = await installed("viem/tempo")
const { escrowAbi } = await installed("mppx", "dist/tempo/session/precompile/escrow.abi.js")
const Channel = await installed("mppx", "dist/tempo/session/precompile/Channel.js")

export const CHAIN = 42431
const ESCROW = "0x4d50500000000000000000000000000000000000"
const ZERO = `0x${"00".repeat(32)}`
const BLOCK = `0x${"01".repeat(32)}`
const BALANCE = `0x${(10n ** 15n).toString(16).padStart(64, "0")}`
const NONE = { settled: 0n, deposit: 0n, closeRequestedAt: 0 }
const hex = (number) => `0x${BigInt(number).toString(16)}`

/** The chain kept in the file `path`: `answer` takes the text of a JSON-RPC request, `state` is everything that happened. */
export function open(path) {
  const state = read(path, { block: 1, channels: {}, receipts: {}, transactions: [] })

  const event = (eventName, indexed, types, values) => ({
    address: ESCROW,
    topics: encodeEventTopics({ abi: escrowAbi, eventName, args: indexed }),
    data: encodeAbiParameters(types.map((type) => ({ type })), values),
    blockNumber: hex(state.block), blockHash: BLOCK, transactionHash: ZERO, transactionIndex: "0x0", logIndex: "0x0", removed: false,
  })

  const created = (transaction, [payee, operator, token, deposit, salt, authorizedSigner]) => {
    const payer = transaction.from
    const expiringNonceHash = Channel.computeExpiringNonceHash(transaction, { sender: payer })
    const descriptor = { payer, payee, operator, token, salt, authorizedSigner, expiringNonceHash }
    const channelId = Channel.computeId({ ...descriptor, chainId: CHAIN, escrow: ESCROW })
    state.channels[channelId.toLowerCase()] = { settled: 0n, deposit, closeRequestedAt: 0 }
    const types = ["address", "address", "address", "bytes32", "bytes32", "uint96"]
    return event("ChannelOpened", { channelId, payer, payee }, types, [operator, token, authorizedSigner, salt, expiringNonceHash, deposit])
  }

  const changed = (name, [descriptor, first, second]) => {
    const channelId = Channel.computeId({ ...descriptor, chainId: CHAIN, escrow: ESCROW })
    const channel = state.channels[channelId.toLowerCase()]
    if (channel === undefined) throw new Error(`${name}: no channel ${channelId}`)
    const indexed = { channelId, payer: descriptor.payer, payee: descriptor.payee }
    if (name === "topUp") {
      channel.deposit += first
      return event("TopUp", indexed, ["uint96", "uint96"], [first, channel.deposit])
    }
    if (name === "settle") {
      const delta = first - channel.settled
      channel.settled = first
      return event("Settled", indexed, ["uint96", "uint96", "uint96"], [first, delta, first])
    }
    if (name === "close") {
      const refund = channel.deposit - second
      Object.assign(channel, { settled: second, deposit: 0n })
      return event("ChannelClosed", indexed, ["uint96", "uint96"], [second, refund])
    }
    throw new Error(`the escrow has no ${name} here`)
  }

  const apply = (raw) => {
    const hash = keccak256(raw)
    if (state.receipts[hash]) throw new Error("already known")
    const transaction = Transaction.deserialize(raw)
    const logs = []
    for (const call of transaction.calls ?? [transaction]) {
      if (call.to?.toLowerCase() !== ESCROW) continue
      const { functionName, args } = decodeFunctionData({ abi: escrowAbi, data: call.data })
      logs.push(functionName === "open" ? created(transaction, args) : changed(functionName, args))
      state.transactions.push({ call: functionName, channelId: logs.at(-1).topics[1], amounts: args.filter((arg) => typeof arg === "bigint").map(String) })
    }
    state.block += 1
    state.receipts[hash] = {
      blockHash: BLOCK, blockNumber: hex(state.block), contractAddress: null, cumulativeGasUsed: "0x1", effectiveGasPrice: "0x1",
      from: transaction.from, gasUsed: "0x1", logs, logsBloom: `0x${"00".repeat(256)}`, status: "0x1", to: ESCROW,
      transactionHash: hash, transactionIndex: "0x0", type: "0x76",
    }
    write(path, state)
    return hash
  }

  const call = ({ to, data }) => {
    if (data?.startsWith(toFunctionSelector("function balanceOf(address)"))) return BALANCE
    if (to?.toLowerCase() !== ESCROW) return "0x"
    let asked
    try {
      asked = decodeFunctionData({ abi: escrowAbi, data })
    } catch {
      return "0x" // a simulated transaction: nothing here would refuse it
    }
    const { functionName, args } = asked
    if (functionName === "getChannelState") {
      return encodeFunctionResult({ abi: escrowAbi, functionName, result: state.channels[args[0].toLowerCase()] ?? NONE })
    }
    if (functionName === "getChannel") {
      const channelId = Channel.computeId({ ...args[0], chainId: CHAIN, escrow: ESCROW })
      const result = { descriptor: args[0], state: state.channels[channelId.toLowerCase()] ?? NONE }
      return encodeFunctionResult({ abi: escrowAbi, functionName, result })
    }
    return "0x"
  }

  const block = () => ({
    number: hex(state.block), hash: BLOCK, parentHash: ZERO, timestamp: hex(Math.floor(Date.now() / 1000)), baseFeePerGas: "0x1",
    gasLimit: "0x1c9c380", gasUsed: "0x0", transactions: [], logsBloom: `0x${"00".repeat(256)}`, difficulty: "0x0", extraData: "0x",
    miner: `0x${"00".repeat(20)}`, mixHash: ZERO, nonce: "0x0000000000000000", receiptsRoot: ZERO, sha3Uncles: ZERO, size: "0x0",
    stateRoot: ZERO, transactionsRoot: ZERO, uncles: [],
  })

  const methods = {
    eth_chainId: () => hex(CHAIN),
    eth_blockNumber: () => hex(state.block),
    eth_getTransactionCount: () => "0x0",
    eth_estimateGas: () => "0x30d40",
    eth_gasPrice: () => "0x1",
    eth_maxPriorityFeePerGas: () => "0x1",
    eth_getBlockByNumber: block,
    eth_call: ([request]) => call(request ?? {}),
    eth_sendRawTransaction: ([raw]) => apply(raw),
    eth_sendRawTransactionSync: ([raw]) => state.receipts[apply(raw)],
    eth_getTransactionReceipt: ([hash]) => state.receipts[hash] ?? null,
    eth_getTransactionByHash: () => null,
  }

  const answer = ({ id, method, params }) => {
    if (!(method in methods)) return { jsonrpc: "2.0", id, error: { code: -32601, message: `method not found: ${method}` } }
    try {
      return { jsonrpc: "2.0", id, result: methods[method](params ?? []) }
    } catch (error) {
      return { jsonrpc: "2.0", id, error: { code: -32000, message: error.message } }
    }
  }

  return {
    state,
    answer: (text) => {
      const asked = JSON.parse(text)
      return JSON.stringify(Array.isArray(asked) ? asked.map(answer) : answer(asked))
    },
  }
}
