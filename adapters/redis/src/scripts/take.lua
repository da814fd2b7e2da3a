-- Takes expired sessions, deletes tombstones that are due, and advances the clock. ARGV: limit,
-- visibility in ms, token, the most bytes, '1' where the first session may be longer. Returns whether
-- there is more to do at once, and for each taken session its id, header and body; a record that cannot
-- be read is returned as it is.
local limit, visibility, token, room = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local first_any = ARGV[5] == '1'
-- Every answer has this beside the body: id and header.
local BESIDE = 163
local function fits(id)
  return BESIDE + call('HSTRLEN', S, id .. 'b') <= room
end
local WINDOW = 512
local due_ids = call('ZRANGEBYSCORE', D, '-inf', now, 'LIMIT', 0, WINDOW)
local answer, count, more, full = { 'done', now, 0 }, 0, 0, limit == 0
local orphans, tombstones, taken = {}, {}, {}
for _, id in ipairs(due_ids) do
  local readable, header, tombstone = pcall(look_up, id)
  if not readable then header = nil end
  if readable and not header and not tombstone then
    orphans[#orphans + 1] = id
  elseif tombstone then
    tombstones[#tombstones + 1] = id
  elseif full or not (fits(id) or first_any and count == 0) then
    full, more = true, 1
  else
    count = count + 1
    local hidden = now + visibility
    if readable then
      header = with_flags(sub(header, 1, 79) .. token .. pack('<I8', hidden) .. sub(header, 104), TAKEN, 0)
    end
    taken[count] = { id, header, hidden }
    local body = call('HGET', S, id .. 'b') or ''
    room = room - BESIDE - #body
    full = count == limit
    answer[#answer + 1] = id
    answer[#answer + 1] = header or call('HGET', S, id)
    answer[#answer + 1] = body
  end
end
if #due_ids == WINDOW then more = 1 end
advance()
for _, id in ipairs(orphans) do call('ZREM', D, id) end
for _, id in ipairs(tombstones) do
  call('ZREM', D, id)
  call('HDEL', S, id)
end
for _, session in ipairs(taken) do
  if session[2] then call('HSET', S, session[1], session[2]) end
  call('ZADD', D, session[3], session[1])
end
answer[3] = more
return answer
