-- Errors in handlers of errors in handlers.
-- load: ok
-- call: steps|time
return function()
  local function h() error("again") end
  while true do xpcall(function() xpcall(error, h, "x") end, h) end
end
