-- The environment of a handler.
-- load: ok
-- call: ok
-- result: nilnil
return function() return select(2, xpcall(error, function() return tostring(_G.debug) .. tostring(_ENV.os) end)) end
