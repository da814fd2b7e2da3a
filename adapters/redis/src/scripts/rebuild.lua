-- Only for mend.lua: brings back the keys of the partition that are lost. The script then ends with RINGHOLD_REBUILT,
-- which keys were lost and how many sessions there are or were; the adapter reports that once and sends the script
-- again that found them lost.

-- The longest period between two touches of a session, and a cap of the clock, which may run ahead by it.
local RECOVERY_MS = 20000 + CAP_MS

-- The first key is lost, and with it all sessions: the partition starts again at clock 0, and owners restore what
-- they hold.
local function start_again()
  local sessions = 0
  for _, ids in ipairs(call('HVALS', P)) do sessions = sessions + math.floor(#ids / 18) end
  recovers_until = now + RECOVERY_MS
  lists_lost = not has_players
  advance()
  call('ZREMRANGEBYSCORE', D, '-inf', '(inf')
  return sessions
end

-- The second or the third key is lost: the first one has all that they held. The order of a player's sessions, which
-- the second one kept, becomes that of their last touches. What cannot be read stays in its player's way.
-- Where only the clock is lost, it goes on at the last touch of all, so that nothing expires early or lives for ever.
local function rebuild()
  local sessions, deadlines, lists, latest = 0, {}, {}, 0
  for _, id in ipairs(call('HKEYS', S)) do
    if #id == 18 then
      local readable, header, tombstone = pcall(look_up, id)
      if not readable then header = nil end
      latest = math.max(latest, header and touched_at(header) or tombstone and unpack64(tombstone, 7) - TOMBSTONE_MS or 0)
      if not has_deadlines then
        deadlines[#deadlines + 1] = header and due(header) or tombstone and unpack64(tombstone, 7) or now
        deadlines[#deadlines + 1] = id
      end
      if not tombstone then
        sessions = sessions + 1
        local linked_here = not has_players and not (header and has(header, UNLINKED))
        local player = linked_here and player_in(call('HGET', S, id .. 'b') or '')
        if player then
          local list = lists[player] or {}
          list[#list + 1] = { id = id, touched = header and touched_at(header) or 0 }
          lists[player] = list
        end
      end
    end
  end
  local players = {}
  for player, list in pairs(lists) do
    table.sort(list, is_older)
    for i, session in ipairs(list) do list[i] = session.id end
    players[#players + 1] = player
    players[#players + 1] = table.concat(list)
  end
  if not clock then now = latest end
  lists_lost = lists_lost or not has_players
  advance()
  call_with_pairs('ZADD', D, deadlines)
  call_with_pairs('HSET', P, players)
  return sessions
end

if lost ~= '' then
  local sessions
  if has_sessions then sessions = rebuild() else sessions = start_again() end
  error({ err = 'RINGHOLD_REBUILT ' .. lost .. ' ' .. sessions })
end
