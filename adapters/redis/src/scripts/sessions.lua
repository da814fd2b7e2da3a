-- Shared by the scripts of sessions; schema.rs and ringhold_core::codec say what lies where.
-- Every script first reads all three keys, then checks, then writes: it never stops half-way.
local S, P, D = KEYS[1], KEYS[2], KEYS[3]
local call, byte, sub = redis.call, string.byte, string.sub
local pack, unpack64 = struct.pack, function(text, at) return (struct.unpack('<I8', text, at)) end

local CAP_MS, TOMBSTONE_MS = 3000, 60000
local SESSION, TOMBSTONE = '\245RH\1', '\245RH\4'
local REMOVED, DISPLACED, EXPIRED = '\1', '\2', '\3'
local UNLINKED, TAKEN, SAVED, LOGIN = 1, 2, 4, 8
local NO_PROOF = string.rep('\0', 16)
local NO_TAKE = string.rep('\0', 24)
local NO_LOGIN = string.rep('\0', 18)
-- Whether the server is out of memory, so that nothing may grow; the form of a script for this says so.
local AT_LIMIT = false

-- The three reads: a key of another type is an error of the server here, before anything is written.
local clock = call('HGET', S, 'c')
local has_players = call('HEXISTS', P, '') == 1
local has_deadlines = call('ZSCORE', D, '')

-- The names of the keys that are lost, by an eviction or a mistaken DEL: each key of a partition that was
-- ever written to has the clock or a sentinel, which is never removed. 'c' is the first key's clock alone. '' where
-- none is lost, or all are new.
local lost = ''
local has_sessions = clock or call('HLEN', S) > 0
if has_sessions or has_players or has_deadlines then
  lost = (clock and '' or has_sessions and 'c' or 's') .. (has_players and '' or 'p') .. (has_deadlines and '' or 'd')
end

local function corrupt(what)
  error({ err = 'RINGHOLD_CORRUPT ' .. what })
end

local time, now
-- The reading of the partition's clock until which owners may restore what its first key lost.
local recovers_until = 0
-- Whether it lost the second key as well, so that nothing tells which players had sessions.
local lists_lost = false
do
  local parts = call('TIME')
  time = parts[1] * 1000 + math.floor(parts[2] / 1000)
  if not clock then
    now = 0
  else
    if #clock == 24 or #clock == 25 then
      recovers_until = unpack64(clock, 17)
      lists_lost = #clock == 25
    elseif #clock ~= 16 then
      corrupt('the clock of a partition')
    end
    now = unpack64(clock, 1) + math.min(math.max(time - unpack64(clock, 9), 0), CAP_MS)
  end
end

-- Moves the clock on. Every script that may write does so, also when it refuses: it is what a later
-- WAIT waits for.
local function advance()
  local recovery = now < recovers_until and pack('<I8', recovers_until) .. (lists_lost and '\1' or '') or ''
  call('HSET', S, 'c', pack('<I8I8', now, time) .. recovery)
  if not has_players then call('HSET', P, '', '') end
  if not has_deadlines then call('ZADD', D, '+inf', '') end
end

-- What stands under an id: the header of a session, or a tombstone, or neither.
local function look_up(id)
  local value = call('HGET', S, id)
  if not value then return nil, nil end
  local kind = sub(value, 1, 4)
  if kind == SESSION and #value == 145 then return value, nil end
  if kind == TOMBSTONE and #value == 31 then return nil, value end
  corrupt('neither a session nor a tombstone stands under its id')
end

local function flags(header) return byte(header, 7) end
local function has(header, flag) return bit.band(byte(header, 7), flag) ~= 0 end
local function fence(header) return sub(header, 8, 31) end
local function version(header) return unpack64(header, 32) end
local function incarnation(header) return sub(header, 40, 63) end
local function deadline(header) return unpack64(header, 64) end
local function is_live(header) return now < deadline(header) end
local function login(header) return sub(header, 128, 145) end
local function due(header)
  if has(header, TAKEN) then return unpack64(header, 96) end
  return deadline(header)
end
local function reason(tombstone) return byte(tombstone, 15) end

-- The order of two ids of this partition. Lua's `<` and a plain `table.sort` compare strings by the server's
-- collation (LC_COLLATE), which is not the order of bytes everywhere. All ids here begin with the same two bytes.
local function precedes(a, b)
  for i = 3, 18 do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end

local function with_flags(header, on, off)
  local flags = bit.band(bit.bor(byte(header, 7), on), bit.bnot(off))
  return sub(header, 1, 6) .. string.char(flags) .. sub(header, 8)
end

-- Alive for `ttl` (8 bytes) from now on, and with no sweeper.
local function extended(header, ttl)
  header = with_flags(header, 0, TAKEN)
  return sub(header, 1, 63) .. pack('<I8', now + unpack64(ttl, 1)) .. ttl .. NO_TAKE .. sub(header, 104)
end

-- Held by `owner` (24 bytes) under the next epoch and `nonce`.
local function handed_to(header, owner, nonce)
  return sub(header, 1, 7) .. pack('<I8', unpack64(header, 8) + 1) .. nonce .. sub(header, 32, 39) .. owner
    .. sub(header, 64)
end

-- By the login of this id; of none where it is nil.
local function held_by(header, id)
  if id then return with_flags(sub(header, 1, 127) .. id, LOGIN, 0) end
  return with_flags(sub(header, 1, 127) .. NO_LOGIN, 0, LOGIN)
end

-- A stored body is the player behind its length in a byte, and the body of the codec.
local function stored_body(id)
  local body = call('HGET', S, id .. 'b')
  if not body or #body < 2 or #body < 1 + byte(body, 1) then corrupt('a session without its body') end
  return body
end

local function player_of(body) return sub(body, 2, 1 + byte(body, 1)) end

-- The parts of a body that scripts compare or copy; only of formats that this build knows.
local function parts_of(header, body)
  if sub(header, 5, 6) ~= '\1\0' then
    error({ err = 'RINGHOLD_FORMAT ' .. (byte(header, 5) + 256 * byte(header, 6)) })
  end
  local at = 2 + byte(body, 1)
  local function need(last)
    if last > #body then corrupt('the body of a session ends too early') end
  end
  need(at)
  local node_end = at + byte(body, at)
  need(node_end + 2)
  local holds = byte(body, node_end + 1) + 256 * byte(body, node_end + 2)
  local rest = node_end + 3
  for _ = 1, holds do
    need(rest + 66)
    rest = rest + 67 + byte(body, rest + 66)
  end
  need(rest)
  return { player = sub(body, 1, at - 1), node = sub(body, at, node_end), rest = sub(body, rest) }
end

local function hold_of(id, header, parts) return id .. fence(header) .. incarnation(header) .. parts.node end

-- The owner by name, where this build can tell; for messages.
local function owner_of(id, header)
  if sub(header, 5, 6) ~= '\1\0' then return '' end
  local body = call('HGET', S, id .. 'b')
  if not body or #body < 2 then return '' end
  local at = 2 + byte(body, 1)
  if at > #body then return '' end
  return sub(body, at, at + byte(body, at))
end

local function write_header(id, header)
  call('HSET', S, id, header)
  call('ZADD', D, due(header), id)
end

local function write_session(id, header, body)
  call('HSET', S, id, header, id .. 'b', body)
  call('ZADD', D, due(header), id)
end

local function bury(id, reason, proof)
  call('HSET', S, id, TOMBSTONE .. '\1\0' .. pack('<I8', now + TOMBSTONE_MS) .. reason .. proof)
  call('ZADD', D, now + TOMBSTONE_MS, id)
end

-- The linked sessions of a player, oldest first, each with its header. A list may name ids that are lost: while
-- the partition recovers, they are among the sessions, without a header, since an owner may restore them;
-- otherwise they are left out, and the next write of the list drops them.
local function linked(player)
  local ids = call('HGET', P, player)
  local list = {}
  if not ids then return list end
  if #ids % 18 ~= 0 then corrupt('the sessions of a player') end
  for at = 1, #ids, 18 do
    local id = sub(ids, at, at + 17)
    local header, tombstone = look_up(id)
    if header or now < recovers_until and not tombstone then
      list[#list + 1] = { id = id, header = header }
    end
  end
  return list
end

-- A refusal where one of these sessions may still be restored: what the player has is not known yet.
local function recovering(list)
  local awaited = lists_lost and #list == 0 and now < recovers_until
  for _, session in ipairs(list) do awaited = awaited or not session.header end
  if awaited then return { 'recovering', recovers_until - now } end
end

-- What stays in a player's list without one of them, as it is written; the other sessions are not
-- looked at.
local function ids_without(player, id)
  local ids, left = call('HGET', P, player) or '', {}
  if #ids % 18 ~= 0 then corrupt('the sessions of a player') end
  for at = 1, #ids, 18 do
    local other = sub(ids, at, at + 17)
    if other ~= id then left[#left + 1] = { id = other } end
  end
  return left
end

local function write_linked(player, list)
  local ids = {}
  for i, session in ipairs(list) do ids[i] = session.id end
  if #ids == 0 then
    call('HDEL', P, player)
  else
    call('HSET', P, player, table.concat(ids))
  end
end

-- Leaves a tombstone of the login that holds the session `id`. Where a session stands under the login's
-- own id, of another player or restored, it stays: its player's list names it.
local function bury_login(id, header, reason, proof)
  local named = has(header, LOGIN) and login(header)
  if not named or named == id or sub(call('HGET', S, named) or '', 1, 4) == SESSION then return end
  bury(named, reason, proof)
end

-- Ends the login that holds a session which itself goes on: a repetition of it is refused from now on.
local function end_login(id, header) bury_login(id, header, DISPLACED, NO_PROOF) end

-- Takes a session out for good and leaves tombstones of it and of the login that held it.
local function end_session(id, header, reason, proof)
  call('HDEL', S, id .. 'b')
  bury(id, reason, proof)
  bury_login(id, header, reason, proof)
end

-- What it takes to unlink an expired session: without its login it has no displaced holds either.
local function unlinking(session)
  local body = stored_body(session.id)
  local parts = parts_of(session.header, body)
  local bare = parts.player .. parts.node .. '\0\0' .. parts.rest
  return { id = session.id, header = session.header, body = #bare ~= #body and bare }
end

-- Takes an expired session out of a login's way: it waits for its acknowledgement and cannot be
-- revived any more.
local function unlink(session)
  end_login(session.id, session.header)
  write_header(session.id, with_flags(held_by(session.header, nil), UNLINKED, 0))
  if session.body then call('HSET', S, session.id .. 'b', session.body) end
end

-- The header under an id that a write may go to, or an answer that refuses it.
local function writable(id)
  local header, tombstone = look_up(id)
  if tombstone then return nil, { 'ended', reason(tombstone) } end
  if not header then return nil, { 'missing' } end
  if has(header, UNLINKED) then return nil, { 'ended', 2 } end
  return header, nil
end

local function fenced(id, header) return { 'fenced', header, owner_of(id, header) } end
