-- Loaded modules and the registry through names that C code uses.
-- load: ok
-- call: ok
-- result: nilnilnil
return function() return tostring(_LOADED) .. tostring(_G._PRELOAD) .. tostring(_G["_CLIBS"]) end
